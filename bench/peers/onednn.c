#include "onednn.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

// From oneDNN 2's dnnl_types.h. Its public structs are only ever filled and read by its functions,
// so that here they are room enough: the largest, a convolution's, takes 6 KiB.
typedef struct { int64_t room[128]; } memory_desc;
typedef struct { int64_t room[1024]; } op_desc;
typedef struct { int arg; void *memory; } exec_arg;
typedef struct {
	int major, minor, patch;
	const char *hash;
	unsigned cpu_runtime, gpu_runtime;
} version_t;

enum { cpu = 1, in_order = 1, f32 = 3, tag_any = 1, inference = 96, softmax_accurate = 0x30000, binary_add = 0x1fff0, use_scale_shift = 2 };
enum { openmp = 2 };
enum { query_impl_info_str = 8, query_src = 129, query_weights = 131, query_dst = 133 };
enum { arg_src = 1, arg_dst = 17, arg_weights = 33, arg_bias = 41, arg_post_op = 16384 | 2 /* what the first post-op reads */ };

static const version_t *(*version)(void);
static int (*engine_create)(void **, int kind, size_t index);
static int (*stream_create)(void **, void *engine, unsigned flags);
static int (*stream_wait)(void *);
static int (*by_strides)(memory_desc *, int ndims, const int64_t *dims, int type, const int64_t *strides);
static int (*by_tag)(memory_desc *, int ndims, const int64_t *dims, int type, int tag);
static int (*memory_create)(void **, const memory_desc *, void *engine, void *handle);
static int (*memory_destroy)(void *);
static int (*matmul_init)(op_desc *, const memory_desc *src, const memory_desc *weights, const memory_desc *bias, const memory_desc *dst);
static int (*inner_product_init)(op_desc *, int prop, const memory_desc *src, const memory_desc *weights, const memory_desc *bias,
                                 const memory_desc *dst);
static int (*convolution_init)(op_desc *, int prop, int alg, const memory_desc *src, const memory_desc *weights, const memory_desc *bias,
                               const memory_desc *dst, const int64_t *strides, const int64_t *before, const int64_t *after);
static int (*softmax_init)(op_desc *, int prop, int alg, const memory_desc *src, const memory_desc *dst, int axis);
static int (*layer_norm_init)(op_desc *, int prop, const memory_desc *data, const memory_desc *stat, float eps, unsigned flags);
static int (*attr_create)(void **);
static int (*attr_destroy)(void *);
static int (*attr_set_output_scales)(void *, int64_t count, int mask, const float *scales);
static int (*post_ops_create)(void **);
static int (*post_ops_destroy)(void *);
static int (*post_ops_append_sum)(void *, float scale);
static int (*post_ops_append_binary)(void *, int alg, const memory_desc *src1);
static int (*attr_set_post_ops)(void *, const void *post_ops);
static int (*primitive_desc_create)(void **, const op_desc *, const void *attr, void *engine, const void *hint);
static int (*primitive_desc_destroy)(void *);
static const memory_desc *(*query_md)(const void *, int what, int index);
static int (*query)(const void *, int what, int index, void *result);
static int (*reorder_desc_create)(void **, const memory_desc *src, void *src_engine, const memory_desc *dst, void *dst_engine, const void *attr);
static int (*primitive_create)(void **, const void *desc);
static int (*primitive_destroy)(void *);
static int (*primitive_execute)(const void *, void *stream, int count, const exec_arg *);
static void (*omp_threads)(int);

static void *engine, *stream;

const char *dnn_bind(void *library) {
	const struct {
		const char *name;
		void *into;
	} wanted[] = {
		{"dnnl_version", &version},
		{"dnnl_matmul_desc_init", &matmul_init}, // version 3 has none of the desc_inits
		{"dnnl_inner_product_forward_desc_init", &inner_product_init},
		{"dnnl_convolution_forward_desc_init", &convolution_init},
		{"dnnl_softmax_v2_forward_desc_init", &softmax_init}, // from 2.6
		{"dnnl_layer_normalization_forward_desc_init", &layer_norm_init},
		{"dnnl_engine_create", &engine_create},
		{"dnnl_stream_create", &stream_create},
		{"dnnl_stream_wait", &stream_wait},
		{"dnnl_memory_desc_init_by_strides", &by_strides},
		{"dnnl_memory_desc_init_by_tag", &by_tag},
		{"dnnl_memory_create", &memory_create},
		{"dnnl_memory_destroy", &memory_destroy},
		{"dnnl_primitive_attr_create", &attr_create},
		{"dnnl_primitive_attr_destroy", &attr_destroy},
		{"dnnl_primitive_attr_set_output_scales", &attr_set_output_scales},
		{"dnnl_post_ops_create", &post_ops_create},
		{"dnnl_post_ops_destroy", &post_ops_destroy},
		{"dnnl_post_ops_append_sum", &post_ops_append_sum},
		{"dnnl_post_ops_append_binary", &post_ops_append_binary},
		{"dnnl_primitive_attr_set_post_ops", &attr_set_post_ops},
		{"dnnl_primitive_desc_create", &primitive_desc_create},
		{"dnnl_primitive_desc_destroy", &primitive_desc_destroy},
		{"dnnl_primitive_desc_query_md", &query_md},
		{"dnnl_primitive_desc_query", &query},
		{"dnnl_reorder_primitive_desc_create", &reorder_desc_create},
		{"dnnl_primitive_create", &primitive_create},
		{"dnnl_primitive_destroy", &primitive_destroy},
		{"dnnl_primitive_execute", &primitive_execute},
		{"omp_set_num_threads", &omp_threads}, // of the OpenMP that the library was linked with
	};
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		*(void **)wanted[i].into = dlsym(library, wanted[i].name);
		if (*(void **)wanted[i].into == NULL) return wanted[i].name;
	}
	if (version()->cpu_runtime != openmp) return "its threads by OpenMP (it was built for others)";
	if (engine_create(&engine, cpu, 0) || stream_create(&stream, engine, in_order)) return "an engine for the CPU";
	return NULL;
}

void dnn_version(int *v) {
	const version_t *found = version();
	v[0] = found->major, v[1] = found->minor, v[2] = found->patch;
}

// Tensors.

struct dnn_tensor {
	memory_desc plain; // the layout of values that are written and read
	memory_desc wish;  // what a primitive is asked for: plain or any
	memory_desc is;    // what it chose, once there is memory
	void *memory;
};

dnn_tensor *dnn_make(int ndims, const int64_t *dims, const int64_t *strides, int any) {
	dnn_tensor *t = calloc(1, sizeof *t);
	if (t == NULL) return NULL;
	int status = by_strides(&t->plain, ndims, dims, f32, strides);
	t->wish = t->plain;
	if (any) status |= by_tag(&t->wish, ndims, dims, f32, tag_any);
	if (status == 0) return t;
	free(t);
	return NULL;
}

void dnn_drop(dnn_tensor *t) {
	if (t == NULL) return;
	if (t->memory) memory_destroy(t->memory);
	free(t);
}

// settle gives t memory of the layout that a primitive chose; a tensor that has memory must have
// that layout.
static int settle(dnn_tensor *t, const memory_desc *chosen) {
	if (t->memory) return 0;
	t->is = t->wish = *chosen;
	return memory_create(&t->memory, &t->is, engine, (void *)-1); // allocated by oneDNN
}

// convert moves the values of one memory into another of another layout.
static int convert(void *from, const memory_desc *from_desc, void *to, const memory_desc *to_desc) {
	void *desc, *primitive;
	int status = reorder_desc_create(&desc, from_desc, engine, to_desc, engine, NULL);
	if (status) return status;
	status = primitive_create(&primitive, desc);
	primitive_desc_destroy(desc);
	if (status) return status;
	const exec_arg args[] = {{arg_src, from}, {arg_dst, to}};
	status = primitive_execute(primitive, stream, 2, args);
	stream_wait(stream);
	primitive_destroy(primitive);
	return status;
}

int dnn_write(dnn_tensor *t, const float *values) {
	void *user;
	int status = memory_create(&user, &t->plain, engine, (void *)values);
	if (status) return status;
	status = convert(user, &t->plain, t->memory, &t->is);
	memory_destroy(user);
	return status;
}

int dnn_read(dnn_tensor *t, float *values) {
	void *user;
	int status = memory_create(&user, &t->plain, engine, values);
	if (status) return status;
	status = convert(t->memory, &t->is, user, &t->plain);
	memory_destroy(user);
	return status;
}

// Programs.

enum { most_steps = 6, most_args = 5 };

struct dnn_program {
	int threads, steps;
	struct {
		void *desc, *primitive;
		int count;
		exec_arg args[most_args];
	} step[most_steps];
};

dnn_program *dnn_begin(int threads) {
	dnn_program *p = calloc(1, sizeof *p);
	if (p) p->threads = threads;
	omp_threads(threads); // primitives are blocked for as many
	return p;
}

// add appends the primitive of an operation and gives its tensors their memory.
static int add(dnn_program *p, const op_desc *op, void *attr, dnn_tensor *src, dnn_tensor *weights, dnn_tensor *bias, dnn_tensor *dst) {
	if (p->steps == most_steps) return -1;
	void *desc, *primitive;
	int status = primitive_desc_create(&desc, op, attr, engine, NULL);
	if (status) return status;
	status = settle(src, query_md(desc, query_src, 0));
	if (!status && weights) status = settle(weights, query_md(desc, query_weights, 0));
	if (!status && bias) status = settle(bias, query_md(desc, query_weights, 1));
	if (!status) status = settle(dst, query_md(desc, query_dst, 0));
	if (!status) status = primitive_create(&primitive, desc);
	if (status) {
		primitive_desc_destroy(desc);
		return status;
	}
	int i = p->steps++, n = 0;
	p->step[i].desc = desc;
	p->step[i].primitive = primitive;
	exec_arg *args = p->step[i].args;
	args[n++] = (exec_arg){arg_src, src->memory};
	args[n++] = (exec_arg){arg_dst, dst->memory};
	if (weights) args[n++] = (exec_arg){arg_weights, weights->memory};
	if (bias) args[n++] = (exec_arg){arg_bias, bias->memory};
	p->step[i].count = n;
	return 0;
}

int dnn_matmul(dnn_program *p, dnn_tensor *src, dnn_tensor *weights, dnn_tensor *bias, dnn_tensor *dst, float scale, int sum, dnn_tensor *mask) {
	op_desc op;
	int status = matmul_init(&op, &src->wish, &weights->wish, bias ? &bias->wish : NULL, &dst->wish);
	if (status) return status;
	void *attr, *post;
	status = attr_create(&attr);
	if (status) return status;
	if (scale != 1) status = attr_set_output_scales(attr, 1, 0, &scale);
	if (!status && (sum || mask)) {
		status = post_ops_create(&post);
		if (!status) {
			status = mask ? post_ops_append_binary(post, binary_add, &mask->wish) : post_ops_append_sum(post, 1);
			if (!status) status = attr_set_post_ops(attr, post);
			post_ops_destroy(post);
		}
	}
	if (!status && mask) status = settle(mask, &mask->wish);
	if (!status) status = add(p, &op, attr, src, weights, bias, dst);
	if (!status && mask) {
		int i = p->steps - 1;
		p->step[i].args[p->step[i].count++] = (exec_arg){arg_post_op, mask->memory};
	}
	attr_destroy(attr);
	return status;
}

int dnn_inner_product(dnn_program *p, dnn_tensor *src, dnn_tensor *weights, dnn_tensor *dst) {
	op_desc op;
	int status = inner_product_init(&op, inference, &src->wish, &weights->wish, NULL, &dst->wish);
	return status ? status : add(p, &op, NULL, src, weights, NULL, dst);
}

int dnn_convolution(dnn_program *p, int algorithm, dnn_tensor *src, dnn_tensor *weights, dnn_tensor *bias, dnn_tensor *dst,
                    int stride, int padding) {
	op_desc op;
	const int64_t strides[] = {stride, stride}, pads[] = {padding, padding};
	int status = convolution_init(&op, inference, algorithm, &src->wish, &weights->wish, &bias->wish, &dst->wish, strides, pads, pads);
	return status ? status : add(p, &op, NULL, src, weights, bias, dst);
}

int dnn_softmax(dnn_program *p, dnn_tensor *src, dnn_tensor *dst, int axis) {
	op_desc op;
	int status = softmax_init(&op, inference, softmax_accurate, &src->wish, &dst->wish, axis);
	return status ? status : add(p, &op, NULL, src, NULL, NULL, dst);
}

int dnn_layer_norm(dnn_program *p, dnn_tensor *src, dnn_tensor *scale_shift, dnn_tensor *dst, float eps) {
	op_desc op;
	int status = layer_norm_init(&op, inference, &src->wish, NULL, eps, use_scale_shift);
	return status ? status : add(p, &op, NULL, src, scale_shift, NULL, dst);
}

int dnn_run(dnn_program *p, int times) {
	omp_threads(p->threads);
	for (int t = 0; t < times; t++) {
		for (int i = 0; i < p->steps; i++) {
			int status = primitive_execute(p->step[i].primitive, stream, p->step[i].count, p->step[i].args);
			if (status) return status;
		}
		stream_wait(stream);
	}
	return 0;
}

const char *dnn_name(dnn_program *p, int i) {
	const char *name = "";
	if (i >= p->steps) return NULL;
	query(p->step[i].desc, query_impl_info_str, 0, &name);
	return name;
}

void dnn_end(dnn_program *p) {
	if (p == NULL) return;
	for (int i = 0; i < p->steps; i++) {
		primitive_destroy(p->step[i].primitive);
		primitive_desc_destroy(p->step[i].desc);
	}
	free(p);
}
