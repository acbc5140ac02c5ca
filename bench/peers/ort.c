#include "ort.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

// The interface is a table of functions whose positions never change; these are what
// onnxruntime_c_api.h has at them. Functions that can fail return a status, NULL being success.
enum {
	get_error_message = 2,
	create_env = 3,
	create_session_from_array = 8,
	run = 9,
	create_session_options = 10,
	set_graph_optimization_level = 23,
	set_intra_op_num_threads = 24,
	set_inter_op_num_threads = 25,
	create_tensor_with_data = 49,
	create_cpu_memory_info = 69,
	release_status = 93,
	release_session = 95,
	release_value = 96,
	release_session_options = 100,
	add_session_config_entry = 130,
};
enum { api_version = 11, log_errors = 3, optimize_all = 99, device_allocator = 0, default_memory = 0, type_float = 1 };

typedef void (*function)(void); // as a C function of any type may be kept

typedef struct {
	const function *(*get_api)(uint32_t version);
	const char *(*get_version)(void);
} api_base;

static const api_base *base;
static const function *api;
static void *env, *memory_info;
static char message[1024];

// failed keeps a status's message.
static int failed(void *status) {
	if (status == NULL) return 0;
	snprintf(message, sizeof message, "%s", ((const char *(*)(void *))api[get_error_message])(status));
	((void (*)(void *))api[release_status])(status);
	return 1;
}

#define CALL(f, params, ...) failed(((void *(*) params)api[f])(__VA_ARGS__))
#define RELEASE(f, object) ((void (*)(void *))api[f])(object)

const char *ort_bind(void *library) {
	const api_base *(*get_base)(void);
	*(void **)&get_base = dlsym(library, "OrtGetApiBase");
	if (get_base == NULL) return "OrtGetApiBase";
	base = get_base();
	api = base->get_api(api_version);
	if (api == NULL) return "its interface of version 1.11";
	if (CALL(create_env, (int, const char *, void **), log_errors, "peers", &env)) return message;
	if (CALL(create_cpu_memory_info, (int, int, void **), device_allocator, default_memory, &memory_info)) return message;
	return NULL;
}

const char *ort_version(void) { return base->get_version(); }
const char *ort_error(void) { return message; }

enum { most_operands = 5 };

struct ort_model {
	void *session;
	int inputs;
	const char *names[most_operands];
	void *values[most_operands];
	const char *output_name;
	void *output;
};

ort_model *ort_open(const void *bytes, size_t size, int threads) {
	void *options;
	if (CALL(create_session_options, (void **), &options)) return NULL;
	ort_model *m = calloc(1, sizeof *m);
	int bad = m == NULL || CALL(set_intra_op_num_threads, (void *, int), options, threads) ||
	          CALL(set_inter_op_num_threads, (void *, int), options, 1) ||
	          CALL(set_graph_optimization_level, (void *, int), options, optimize_all) ||
	          CALL(add_session_config_entry, (void *, const char *, const char *), options, "session.intra_op.allow_spinning", "1") ||
	          CALL(create_session_from_array, (void *, const void *, size_t, const void *, void **), env, bytes, size, options, &m->session);
	RELEASE(release_session_options, options);
	if (!bad) return m;
	free(m);
	return NULL;
}

int ort_operand(ort_model *m, int output, const char *name, float *values, const int64_t *dims, int ndims) {
	size_t size = sizeof *values;
	for (int i = 0; i < ndims; i++) size *= dims[i];
	if (output) m->output_name = name;
	else m->names[m->inputs] = name;
	return CALL(create_tensor_with_data, (void *, void *, size_t, const int64_t *, size_t, int, void **), memory_info, values, size, dims,
	            (size_t)ndims, type_float, output ? &m->output : &m->values[m->inputs++]);
}

int ort_run(ort_model *m, int times) {
	for (int t = 0; t < times; t++)
		if (CALL(run, (void *, void *, const char **, void **, size_t, const char **, size_t, void **), m->session, NULL, m->names, m->values,
		         (size_t)m->inputs, &m->output_name, (size_t)1, &m->output))
			return 1;
	return 0;
}

void ort_close(ort_model *m) {
	if (m == NULL) return;
	for (int i = 0; i < m->inputs; i++) RELEASE(release_value, m->values[i]);
	if (m->output) RELEASE(release_value, m->output);
	RELEASE(release_session, m->session);
	free(m);
}
