/* DEPTHWISE_CONV_2D: a channel at a time within a pixel; windows that lie inside the input take the 3x3 fast path. */
#include "kernels.h"
#include "requantise.h"

/* Sum of one window of one channel, border or not: taps outside the input read its zero point. `corner` is the
 * window's first tap and may lie outside; it is only dereferenced for taps inside. */
static int32_t window_sum(const struct nn_layer *layer, const int8_t *input, int32_t y0, int32_t x0, uint32_t in_channel,
                          const int8_t *weights)
{
    int32_t sum = 0;
    for (int32_t ky = 0; ky < layer->kernel_h; ky++) {
        for (int32_t kx = 0; kx < layer->kernel_w; kx++, weights += layer->out_c) {
            int32_t y = y0 + ky, x = x0 + kx, value = layer->input_zero_point;
            if (y >= 0 && y < layer->in_h && x >= 0 && x < layer->in_w)
                value = input[((uint32_t)y * layer->in_w + (uint32_t)x) * layer->in_c + in_channel];
            sum += value * *weights;
        }
    }
    return sum;
}

/* One inner pixel of a 3x3 layer with depth multiplier 1: all channels. `x` is the window's first tap, rows are
 * `row` bytes apart. */
static void inner_3x3(const struct nn_layer *layer, const int8_t *x, uint32_t row, int8_t *out)
{
    const int8_t *w = layer->weights;
    const int32_t *bias = layer->bias, *multiplier = layer->multiplier;
    const int8_t *shift = layer->shift;
    int32_t zero = layer->output_zero_point, low = layer->act_min, high = layer->act_max;
    uint32_t c = layer->out_c;
    for (uint32_t channel = 0; channel < c; channel++, x++, w++) {
        const int8_t *x0 = x, *x1 = x + row, *x2 = x1 + row, *v = w;
        int32_t sum = *bias++;
        for (uint32_t kx = 0, at = 0; kx < 3; kx++, at += c, v += c) {
            sum += x0[at] * v[0];
            sum += x1[at] * v[3 * c];
            sum += x2[at] * v[6 * c];
        }
        *out++ = clamp(requantise(sum, *multiplier++, *shift++) + zero, low, high);
    }
}

void depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset;
    uint32_t row = (uint32_t)layer->in_w * layer->in_c;
    int fast = layer->kernel_h == 3 && layer->kernel_w == 3 && layer->depth_multiplier == 1;
    for (int32_t out_y = 0; out_y < layer->out_h; out_y++) {
        int32_t y0 = out_y * layer->stride_h - layer->pad_top;
        int rows_inside = y0 >= 0 && y0 + layer->kernel_h <= layer->in_h;
        for (int32_t out_x = 0; out_x < layer->out_w; out_x++, out += layer->out_c) {
            int32_t x0 = out_x * layer->stride_w - layer->pad_left;
            if (fast && rows_inside && x0 >= 0 && x0 + 3 <= layer->in_w) {
                inner_3x3(layer, input + (uint32_t)y0 * row + (uint32_t)x0 * layer->in_c, row, out);
                continue;
            }
            uint32_t in_channel = 0, copy = 0;
            for (uint32_t channel = 0; channel < layer->out_c; channel++) {
                int32_t sum = layer->bias[channel];
                sum += window_sum(layer, input, y0, x0, in_channel, layer->weights + channel);
                out[channel] = clamp(requantise(sum, layer->multiplier[channel], layer->shift[channel]) +
                                         layer->output_zero_point,
                                     layer->act_min, layer->act_max);
                if (++copy == layer->depth_multiplier) {
                    copy = 0;
                    in_channel++;
                }
            }
        }
    }
}
