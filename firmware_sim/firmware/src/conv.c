/* CONV_2D: the windows of a tile of pixels are packed in pairs, then each output channel runs over the tile. */
#include <stdbool.h>

#include "kernels.h"
#include "pair.h"
#include "requantise.h"

/* Shared with depthwise.c: one kernel runs at a time. */
int32_t pair_words[NN_WORK_WORDS];
int32_t pair_sums[PAIR_SUMS];

/* Write (`second` false) or add in the high halves (`second` true) `count` values, or `count` times `value` when
 * `values` is NULL. Returns the word behind. */
static int32_t *put(int32_t *out, const int8_t *values, int32_t value, uint32_t count, bool second)
{
    for (uint32_t i = 0; i < count; i++) {
        int32_t x = values ? values[i] : value;
        out[i] = second ? pair(out[i], x) : x;
    }
    return out + count;
}

/* The window [kh][kw][in_c] of one output pixel, taps outside the input filled with its zero point. */
static void gather(const struct nn_layer *layer, const int8_t *input, uint32_t pixel, int32_t *out, bool second)
{
    uint32_t in_c = layer->in_c, out_y = pixel / layer->out_w, out_x = pixel % layer->out_w;
    int32_t zero = layer->input_zero_point, width = layer->in_w;
    int32_t x0 = (int32_t)(out_x * layer->stride_w) - layer->pad_left, x1 = x0 + layer->kernel_w;
    uint32_t left = x0 < 0 ? (uint32_t)-x0 : 0, right = x1 > width ? (uint32_t)(x1 - width) : 0;
    uint32_t inside = layer->kernel_w - left - right;
    for (uint32_t ky = 0; ky < layer->kernel_h; ky++) {
        int32_t y = (int32_t)(out_y * layer->stride_h + ky) - layer->pad_top;
        if (y < 0 || y >= layer->in_h) {
            out = put(out, 0, zero, layer->kernel_w * in_c, second);
            continue;
        }
        const int8_t *row = input + ((uint32_t)y * layer->in_w + (uint32_t)(x0 + (int32_t)left)) * in_c;
        out = put(out, 0, zero, left * in_c, second);
        out = put(out, row, 0, inside * in_c, second);
        out = put(out, 0, zero, right * in_c, second);
    }
}

/* Pack the windows of two pixels into `out`, `size` words; the words behind meet weights of zero. */
static void pack(const struct nn_layer *layer, const int8_t *input, uint32_t first, uint32_t second, int32_t *out)
{
    if (layer->kernel_h == 1 && layer->kernel_w == 1 && layer->stride_h == 1 && layer->stride_w == 1) {
        uint32_t size = layer->in_c;
        const int8_t *a = input + first * size, *b = input + second * size;
        for (uint32_t i = 0; i < size; i++)
            out[i] = pair(a[i], b[i]);
        return;
    }
    gather(layer, input, first, out, false);
    gather(layer, input, second, out, true);
}

void conv_2d(const struct nn_layer *layer, int8_t *arena)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset;
    uint32_t size = ((uint32_t)layer->kernel_h * layer->kernel_w * layer->in_c + 3u) & ~3u;
    uint32_t channels = layer->out_c, left = (uint32_t)layer->out_h * layer->out_w, pixel = 0;
    uint32_t most = NN_WORK_WORDS / size < PAIR_SUMS / 2 ? NN_WORK_WORDS / size : PAIR_SUMS / 2;
    while (left) {
        /* Pixel i of the tile is paired with pixel pairs + i; of an odd number the last is computed twice. */
        uint32_t pairs = (left + 1) / 2 < most ? (left + 1) / 2 : most;
        uint32_t count = left < 2 * pairs ? left : 2 * pairs;
        for (uint32_t i = 0; i < pairs; i++) {
            uint32_t second = pairs + i < count ? pairs + i : i;
            pack(layer, input, pixel + i, pixel + second, pair_words + i * size);
        }
        struct requantisation channel = {
            .zero_point = layer->output_zero_point,
            .low = layer->act_min,
            .high = layer->act_max,
        };
        const int8_t *weights = layer->weights;
        for (uint32_t c = 0; c < channels; c++, weights += size) {
            pair_dots(pair_words, weights, size, pairs, pair_sums);
            channel.bias = layer->bias[c];
            channel.multiplier = layer->multiplier[c];
            channel.shift = layer->shift[c];
            requantise_sums(&channel, pair_sums, count, out + c, channels);
        }
        pixel += count;
        left -= count;
        out += count * channels;
    }
}
