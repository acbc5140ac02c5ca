// What bench/peers calls of OpenBLAS: its CBLAS interface, loaded at run time.
#ifndef PEERS_OPENBLAS_H
#define PEERS_OPENBLAS_H

// blas_bind looks the functions up in a library from dlopen. It returns the name of the first that
// is missing, or NULL.
const char *blas_bind(void *library);

// blas_describe returns the version, the build options and the kernels that were chosen.
const char *blas_describe(void);

// blas_product does C = A·B times times on threads threads: A is m × k, C m × n, both row by row,
// and B is k × n row by row, or n × k where transposed is not 0.
void blas_product(int times, int threads, int m, int n, int k, const float *a, const float *b, int transposed, float *c);

#endif
