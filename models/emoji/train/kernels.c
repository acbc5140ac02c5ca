/*
 * The passes of training that PyTorch makes slowly in bfloat16 on a CPU, each read and written once: group norm with
 * its activation, layer norm, GEGLU. Plain loops: the compiler turns them into vectors (see ops.py for its options).
 *
 * Values are bfloat16, channels last; all arithmetic is float32. An image is [pixels][channels].
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint16_t bf16;

enum { CHANNELS = 1024 }; /* at most */

static inline float widen(bf16 h) {
    uint32_t bits = (uint32_t)h << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* narrow rounds to the nearest bfloat16, ties to even. */
static inline bf16 narrow(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (bf16)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float sigmoid(float x) { return 1 / (1 + expf(-x)); }

/*
 * group_norm: y = act(xhat * scale + shift), where xhat is x less the mean of its group, over its deviation. scale and
 * shift are [images][channels]: what gamma, beta and the style make of a channel. silu: the activation, else none.
 */
void group_norm(const bf16 *x, const float *scale, const float *shift, bf16 *y, float *mean, float *rdev,
                int images, int pixels, int channels, int groups, float eps, int silu) {
    int width = channels / groups;
#pragma omp parallel for
    for (int n = 0; n < images; n++) {
        const bf16 *in = x + (size_t)n * pixels * channels;
        bf16 *out = y + (size_t)n * pixels * channels;
        float sum[CHANNELS] = {0}, square[CHANNELS] = {0}, mul[CHANNELS], add[CHANNELS];
        for (int p = 0; p < pixels; p++)
            for (int c = 0; c < channels; c++) {
                float v = widen(in[p * channels + c]);
                sum[c] += v;
                square[c] += v * v;
            }
        for (int g = 0; g < groups; g++) {
            double s = 0, q = 0, count = (double)width * pixels;
            for (int c = g * width; c < (g + 1) * width; c++) {
                s += sum[c];
                q += square[c];
            }
            double m = s / count, variance = fmax(q / count - m * m, 0);
            mean[n * groups + g] = m;
            rdev[n * groups + g] = 1 / sqrt(variance + eps);
            for (int c = g * width; c < (g + 1) * width; c++) {
                mul[c] = scale[n * channels + c] * rdev[n * groups + g];
                add[c] = shift[n * channels + c] - (float)m * mul[c];
            }
        }
        if (silu) {
            for (int p = 0; p < pixels; p++)
                for (int c = 0; c < channels; c++) {
                    float z = widen(in[p * channels + c]) * mul[c] + add[c];
                    out[p * channels + c] = narrow(z * sigmoid(z));
                }
        } else {
            for (int p = 0; p < pixels; p++)
                for (int c = 0; c < channels; c++)
                    out[p * channels + c] = narrow(widen(in[p * channels + c]) * mul[c] + add[c]);
        }
    }
}

/* group_norm_backward: from dy the gradients dx, dscale and dshift. dx holds the gradient before the activation first. */
void group_norm_backward(const bf16 *x, const bf16 *dy, const float *scale, const float *shift, const float *mean,
                         const float *rdev, bf16 *dx, float *dscale, float *dshift,
                         int images, int pixels, int channels, int groups, int silu) {
    int width = channels / groups;
#pragma omp parallel for
    for (int n = 0; n < images; n++) {
        const bf16 *in = x + (size_t)n * pixels * channels, *dout = dy + (size_t)n * pixels * channels;
        bf16 *din = dx + (size_t)n * pixels * channels;
        const float *a = scale + (size_t)n * channels, *b = shift + (size_t)n * channels;
        float mul[CHANNELS], add[CHANNELS]; /* xhat = x * mul + add */
        float da[CHANNELS] = {0}, db[CHANNELS] = {0};
        float kx[CHANNELS], kd[CHANNELS], k[CHANNELS]; /* dx = d * kd - x * kx - k */
        for (int c = 0; c < channels; c++) {
            mul[c] = rdev[n * groups + c / width];
            add[c] = -mean[n * groups + c / width] * mul[c];
        }
        for (int p = 0; p < pixels; p++)
            for (int c = 0; c < channels; c++) {
                float xhat = widen(in[p * channels + c]) * mul[c] + add[c];
                float d = widen(dout[p * channels + c]);
                if (silu) {
                    float z = xhat * a[c] + b[c], s = sigmoid(z);
                    d *= s * (1 + z * (1 - s));
                }
                da[c] += d * xhat;
                db[c] += d;
                din[p * channels + c] = narrow(d);
            }
        for (int g = 0; g < groups; g++) {
            float dxhat = 0, moment = 0, count = (float)width * pixels; /* means over the group of dxhat and dxhat * xhat */
            for (int c = g * width; c < (g + 1) * width; c++) {
                dxhat += db[c] * a[c] / count;
                moment += da[c] * a[c] / count;
            }
            for (int c = g * width; c < (g + 1) * width; c++) {
                kd[c] = a[c] * mul[c];
                kx[c] = moment * mul[c] * mul[c];
                k[c] = (dxhat + moment * add[c]) * mul[c];
            }
        }
        for (int p = 0; p < pixels; p++)
            for (int c = 0; c < channels; c++)
                din[p * channels + c] = narrow(widen(din[p * channels + c]) * kd[c] - widen(in[p * channels + c]) * kx[c] - k[c]);
        memcpy(dscale + (size_t)n * channels, da, channels * sizeof(float));
        memcpy(dshift + (size_t)n * channels, db, channels * sizeof(float));
    }
}

/* layer_norm: y = xhat * gamma + beta for each row. */
void layer_norm(const bf16 *x, const float *gamma, const float *beta, bf16 *y, float *mean, float *rdev,
                int rows, int channels, float eps) {
#pragma omp parallel for
    for (int r = 0; r < rows; r++) {
        const bf16 *in = x + (size_t)r * channels;
        float sum = 0, square = 0;
        for (int c = 0; c < channels; c++) {
            float v = widen(in[c]);
            sum += v;
            square += v * v;
        }
        float m = sum / channels, s = 1 / sqrtf(fmaxf(square / channels - m * m, 0) + eps);
        for (int c = 0; c < channels; c++)
            y[(size_t)r * channels + c] = narrow((widen(in[c]) - m) * s * gamma[c] + beta[c]);
        mean[r] = m;
        rdev[r] = s;
    }
}

/* layer_norm_backward: dx, and what is added to dgamma and dbeta. */
void layer_norm_backward(const bf16 *x, const bf16 *dy, const float *gamma, const float *mean, const float *rdev,
                         bf16 *dx, float *dgamma, float *dbeta, int rows, int channels) {
#pragma omp parallel
    {
        float dg[CHANNELS] = {0}, db[CHANNELS] = {0}; /* of this thread's rows */
#pragma omp for
        for (int r = 0; r < rows; r++) {
            const bf16 *in = x + (size_t)r * channels, *dout = dy + (size_t)r * channels;
            float s = rdev[r], m = mean[r], d = 0, moment = 0;
            for (int c = 0; c < channels; c++) {
                float xhat = (widen(in[c]) - m) * s, g = widen(dout[c]);
                dg[c] += g * xhat;
                db[c] += g;
                d += g * gamma[c];
                moment += g * gamma[c] * xhat;
            }
            d /= channels;
            moment /= channels;
            for (int c = 0; c < channels; c++) {
                float xhat = (widen(in[c]) - m) * s;
                dx[(size_t)r * channels + c] = narrow(s * (widen(dout[c]) * gamma[c] - d - xhat * moment));
            }
        }
#pragma omp critical
        for (int c = 0; c < channels; c++) {
            dgamma[c] += dg[c];
            dbeta[c] += db[c];
        }
    }
}

/* geglu: y = a * gelu(g) for a row [a | g]. */
void geglu(const bf16 *x, bf16 *y, int rows, int width) {
#pragma omp parallel for
    for (int r = 0; r < rows; r++) {
        const bf16 *a = x + (size_t)r * 2 * width, *g = a + width;
        for (int i = 0; i < width; i++) {
            float v = widen(g[i]);
            y[(size_t)r * width + i] = narrow(widen(a[i]) * v * 0.5f * (1 + erff(v * 0.70710678f)));
        }
    }
}

void geglu_backward(const bf16 *x, const bf16 *dy, bf16 *dx, int rows, int width) {
#pragma omp parallel for
    for (int r = 0; r < rows; r++) {
        const bf16 *a = x + (size_t)r * 2 * width, *g = a + width, *d = dy + (size_t)r * width;
        bf16 *da = dx + (size_t)r * 2 * width, *dg = da + width;
        for (int i = 0; i < width; i++) {
            float v = widen(g[i]), e = widen(d[i]);
            float cdf = 0.5f * (1 + erff(v * 0.70710678f)), pdf = 0.39894228f * expf(-0.5f * v * v);
            da[i] = narrow(e * v * cdf);
            dg[i] = narrow(e * widen(a[i]) * (cdf + v * pdf));
        }
    }
}
