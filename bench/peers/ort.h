// What bench/peers calls of ONNX Runtime: its C interface, loaded at run time. A function that fails
// returns NULL or not 0, and ort_error says why.
#ifndef PEERS_ORT_H
#define PEERS_ORT_H

#include <stddef.h>
#include <stdint.h>

// ort_bind looks the interface up in a library from dlopen. It returns what is missing, or NULL.
const char *ort_bind(void *library);
const char *ort_version(void);
const char *ort_error(void);

// ort_model is a model with its operands, which run in memory that is kept.
typedef struct ort_model ort_model;

// ort_open makes a model of a file's bytes that runs on threads threads.
ort_model *ort_open(const void *bytes, size_t size, int threads);
// ort_operand gives the model an input, or an output where output is not 0. The name and the values
// must outlive the model.
int ort_operand(ort_model *m, int output, const char *name, float *values, const int64_t *dims, int ndims);
int ort_run(ort_model *m, int times);
void ort_close(ort_model *m);

#endif
