/* CONV_2D: two pixels by two output channels at a time, so that each of four loads serves two products. */
#include <stddef.h>
#include <string.h>

#include "kernels.h"
#include "requantise.h"

static int8_t patches[2][NN_MAX_PATCH];

/* The window of one output pixel as one row [kh][kw][in_c], taps outside the input filled with its zero point. */
static void gather(const struct nn_layer *layer, const int8_t *input, uint32_t out_y, uint32_t out_x, int8_t *patch)
{
    uint32_t in_c = layer->in_c, row_bytes = layer->kernel_w * in_c;
    int32_t x0 = (int32_t)(out_x * layer->stride_w) - layer->pad_left;
    for (uint32_t ky = 0; ky < layer->kernel_h; ky++, patch += row_bytes) {
        int32_t y = (int32_t)(out_y * layer->stride_h + ky) - layer->pad_top;
        if (y < 0 || y >= layer->in_h) {
            memset(patch, layer->input_zero_point, row_bytes);
            continue;
        }
        const int8_t *row = input + (uint32_t)y * layer->in_w * in_c;
        if (x0 >= 0 && x0 + layer->kernel_w <= layer->in_w) {
            memcpy(patch, row + (uint32_t)x0 * in_c, row_bytes);
            continue;
        }
        for (uint32_t kx = 0; kx < layer->kernel_w; kx++) {
            int32_t x = x0 + (int32_t)kx;
            if (x < 0 || x >= layer->in_w)
                memset(patch + kx * in_c, layer->input_zero_point, in_c);
            else
                memcpy(patch + kx * in_c, row + (uint32_t)x * in_c, in_c);
        }
    }
}

/* All output channels of two pixels whose windows are `a` and `b`, `size` elements each. */
static void two_pixels(const struct nn_layer *layer, const int8_t *a, const int8_t *b, uint32_t size, int8_t *out_a,
                       int8_t *out_b)
{
    const int8_t *weights = layer->weights;
    int32_t zero = layer->output_zero_point, low = layer->act_min, high = layer->act_max;
    uint32_t channel = 0, channels = layer->out_c;
    for (; channel + 2 <= channels; channel += 2, weights += 2 * size) {
        const int8_t *w0 = weights, *w1 = weights + size;
        int32_t a0 = layer->bias[channel], a1 = layer->bias[channel + 1], b0 = a0, b1 = a1;
        for (uint32_t i = 0; i < size; i++) {
            int32_t xa = a[i], xb = b[i], v0 = w0[i], v1 = w1[i];
            a0 += xa * v0;
            a1 += xa * v1;
            b0 += xb * v0;
            b1 += xb * v1;
        }
        int32_t m0 = layer->multiplier[channel], m1 = layer->multiplier[channel + 1];
        int32_t s0 = layer->shift[channel], s1 = layer->shift[channel + 1];
        out_a[channel] = clamp(requantise(a0, m0, s0) + zero, low, high);
        out_a[channel + 1] = clamp(requantise(a1, m1, s1) + zero, low, high);
        out_b[channel] = clamp(requantise(b0, m0, s0) + zero, low, high);
        out_b[channel + 1] = clamp(requantise(b1, m1, s1) + zero, low, high);
    }
    if (channel < channels) {
        int32_t a0 = layer->bias[channel], b0 = a0;
        for (uint32_t i = 0; i < size; i++) {
            a0 += a[i] * weights[i];
            b0 += b[i] * weights[i];
        }
        out_a[channel] = clamp(requantise(a0, layer->multiplier[channel], layer->shift[channel]) + zero, low, high);
        out_b[channel] = clamp(requantise(b0, layer->multiplier[channel], layer->shift[channel]) + zero, low, high);
    }
}

void conv_2d(const struct nn_layer *layer, int8_t *arena)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *output = arena + layer->output_offset;
    uint32_t size = (uint32_t)layer->kernel_h * layer->kernel_w * layer->in_c;
    uint32_t width = layer->out_w, pixels = layer->out_h * width, channels = layer->out_c;
    int pointwise = layer->kernel_h == 1 && layer->kernel_w == 1 && layer->stride_h == 1 && layer->stride_w == 1;
    for (uint32_t first = 0; first < pixels; first += 2) {
        /* The last pixel of an odd number is computed twice, into the same place. */
        uint32_t second = first + 1 < pixels ? first + 1 : first;
        const int8_t *a = input + first * size, *b = input + second * size;
        if (!pointwise) {
            gather(layer, input, first / width, first % width, patches[0]);
            gather(layer, input, second / width, second % width, patches[1]);
            a = patches[0];
            b = patches[1];
        }
        two_pixels(layer, a, b, size, output + first * channels, output + second * channels);
    }
}
