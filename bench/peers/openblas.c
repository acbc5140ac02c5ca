#include "openblas.h"

#include <dlfcn.h>
#include <stddef.h>

enum { row_major = 101, no_trans = 111, trans = 112 }; // of cblas.h

static void (*sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha, const float *a, int lda,
                     const float *b, int ldb, float beta, float *c, int ldc);
static void (*set_num_threads)(int);
static const char *(*get_config)(void);

const char *blas_bind(void *library) {
	const struct {
		const char *name;
		void *into;
	} wanted[] = {
		{"cblas_sgemm", &sgemm},
		{"openblas_set_num_threads", &set_num_threads},
		{"openblas_get_config", &get_config},
	};
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		*(void **)wanted[i].into = dlsym(library, wanted[i].name);
		if (*(void **)wanted[i].into == NULL) return wanted[i].name;
	}
	return NULL;
}

const char *blas_describe(void) { return get_config(); }

void blas_product(int times, int threads, int m, int n, int k, const float *a, const float *b, int transposed, float *c) {
	set_num_threads(threads);
	for (int i = 0; i < times; i++)
		sgemm(row_major, no_trans, transposed ? trans : no_trans, m, n, k, 1, a, k, b, transposed ? k : n, 0, c, n);
}
