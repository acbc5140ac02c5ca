// What bench/peers calls of oneDNN 2: its C interface, loaded at run time, wrapped in programs of a
// few primitives that run one after another. Functions that return int return oneDNN's status: 0 is
// success. All calls come from one thread: OpenMP keeps its threads, and oneDNN its scratch memory, for
// the thread that calls.
#ifndef PEERS_ONEDNN_H
#define PEERS_ONEDNN_H

#include <stdint.h>

// dnn_bind looks the functions up in a library from dlopen and makes an engine. It returns what is
// missing, or NULL. dnn_version returns major.minor.patch as 3 numbers.
const char *dnn_bind(void *library);
void dnn_version(int *version);

// dnn_tensor is memory that primitives read and write. Its values come and go in a plain layout,
// by strides in elements, whatever layout the memory has.
typedef struct dnn_tensor dnn_tensor;

// dnn_make makes a tensor of up to 6 dimensions. Where any is not 0, the first primitive that uses
// it chooses its layout; otherwise it is the plain one. NULL is failure.
dnn_tensor *dnn_make(int ndims, const int64_t *dims, const int64_t *strides, int any);
int dnn_write(dnn_tensor *t, const float *values);
int dnn_read(dnn_tensor *t, float *values);
void dnn_drop(dnn_tensor *t);

// dnn_program is a list of primitives, made for a number of threads and run on as many.
typedef struct dnn_program dnn_program;

dnn_program *dnn_begin(int threads);
// dst = scale·(src·weights + bias), the last two dimensions being matrices, + dst where sum is not 0, or + mask, which
// excludes it. bias has one row; mask is as large as dst. Either may be NULL.
int dnn_matmul(dnn_program *p, dnn_tensor *src, dnn_tensor *weights, dnn_tensor *bias, dnn_tensor *dst, float scale, int sum, dnn_tensor *mask);
// dst = src·weightsᵀ, weights being outputs × inputs.
int dnn_inner_product(dnn_program *p, dnn_tensor *src, dnn_tensor *weights, dnn_tensor *dst);
// A convolution of N × C × H × W by O × I × KH × KW with a bias of O; algorithm is one of these.
enum { dnn_direct = 1, dnn_winograd = 2, dnn_auto = 3 };
int dnn_convolution(dnn_program *p, int algorithm, dnn_tensor *src, dnn_tensor *weights, dnn_tensor *bias, dnn_tensor *dst,
                    int stride, int padding);
int dnn_softmax(dnn_program *p, dnn_tensor *src, dnn_tensor *dst, int axis);
// Rows normalised, then ·scale + shift: scale_shift is 2 × columns.
int dnn_layer_norm(dnn_program *p, dnn_tensor *src, dnn_tensor *scale_shift, dnn_tensor *dst, float eps);
// dnn_run runs the program so many times.
int dnn_run(dnn_program *p, int times);
// dnn_name is what oneDNN calls the implementation of primitive i; NULL beyond the last.
const char *dnn_name(dnn_program *p, int i);
void dnn_end(dnn_program *p);

#endif
