/* AVERAGE_POOL_2D, PAD and ADD. */
#include <string.h>

#include "kernels.h"
#include "requantise.h"

void average_pool_2d(const struct nn_layer *layer, int8_t *arena)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset;
    for (int32_t out_y = 0; out_y < layer->out_h; out_y++) {
        int32_t y0 = out_y * layer->stride_h - layer->pad_top;
        int32_t top = y0 < 0 ? 0 : y0, bottom = y0 + layer->kernel_h;
        bottom = bottom > layer->in_h ? layer->in_h : bottom;
        for (int32_t out_x = 0; out_x < layer->out_w; out_x++) {
            int32_t x0 = out_x * layer->stride_w - layer->pad_left;
            int32_t left = x0 < 0 ? 0 : x0, right = x0 + layer->kernel_w;
            right = right > layer->in_w ? layer->in_w : right;
            int32_t count = (bottom - top) * (right - left);
            for (uint32_t channel = 0; channel < layer->in_c; channel++) {
                int32_t sum = 0;
                for (int32_t y = top; y < bottom; y++)
                    for (int32_t x = left; x < right; x++)
                        sum += input[((uint32_t)y * layer->in_w + (uint32_t)x) * layer->in_c + channel];
                sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count; /* truncates toward zero, as TFLite */
                *out++ = clamp(sum, layer->act_min, layer->act_max);
            }
        }
    }
}

void pad(const struct nn_layer *layer, int8_t *arena)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *output = arena + layer->output_offset;
    uint32_t channels = layer->in_c, row = layer->in_w * channels, out_row = layer->out_w * channels;
    memset(output, layer->output_zero_point, layer->out_h * out_row);
    output += layer->pad_top * out_row + layer->pad_left * channels;
    for (uint32_t y = 0; y < layer->in_h; y++)
        memcpy(output + y * out_row, input + y * row, row);
}

/* An input of ADD on the scale that both share: 20 bits to the left (TFLite's choice), then its own factor. */
static int32_t common_scale(int32_t value, int32_t multiplier, int32_t shift)
{
    return requantise(value * (1 << 20), multiplier, shift);
}

void add(const struct nn_layer *layer, int8_t *arena)
{
    const int8_t *a = arena + layer->input_offset, *b = arena + layer->input2_offset;
    int8_t *out = arena + layer->output_offset;
    const int32_t *multiplier = layer->multiplier;
    const int8_t *shift = layer->shift;
    uint32_t size = (uint32_t)layer->out_h * layer->out_w * layer->out_c;
    for (uint32_t i = 0; i < size; i++) {
        int32_t sum = common_scale(a[i] - layer->input_zero_point, multiplier[0], shift[0]) +
                      common_scale(b[i] - layer->input2_zero_point, multiplier[1], shift[1]);
        out[i] = clamp(requantise(sum, multiplier[2], shift[2]) + layer->output_zero_point, layer->act_min,
                       layer->act_max);
    }
}
