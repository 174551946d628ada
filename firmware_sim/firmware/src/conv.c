/* CONV_2D: the windows of a tile of pixels are packed in pairs, then each output channel runs over the tile. */
#include <stdbool.h>

#include "conv.h"
#include "kernels.h"
#include "pack.h"
#include "pair.h"
#include "requantise.h"

/* An output pixel of the tile under way, and where its window begins in the input. */
struct cursor {
    uint32_t out_x;
    int32_t y, x;
};

static struct cursor cursor_at(const struct nn_layer *layer, uint32_t pixel)
{
    uint32_t out_y = pixel / layer->out_w, out_x = pixel % layer->out_w;
    int32_t y = (int32_t)(out_y * layer->stride_h) - layer->pad_top;
    return (struct cursor){out_x, y, (int32_t)(out_x * layer->stride_w) - layer->pad_left};
}

static void advance(const struct nn_layer *layer, struct cursor *cursor)
{
    cursor->x += layer->stride_w;
    if (++cursor->out_x == layer->out_w) {
        cursor->out_x = 0;
        cursor->x = -(int32_t)layer->pad_left;
        cursor->y += layer->stride_h;
    }
}

static bool is_inside(const struct nn_layer *layer, const struct cursor *cursor)
{
    return cursor->y >= 0 && cursor->y + layer->kernel_h <= layer->in_h && cursor->x >= 0 &&
           cursor->x + layer->kernel_w <= layer->in_w;
}

/* One tap of the window at `cursor`; the zero point outside the input. */
static int32_t tap(const struct nn_layer *layer, const int8_t *input, const struct cursor *cursor, uint32_t ky,
                   uint32_t kx, uint32_t channel)
{
    int32_t y = cursor->y + (int32_t)ky, x = cursor->x + (int32_t)kx;
    if (y < 0 || y >= layer->in_h || x < 0 || x >= layer->in_w)
        return layer->input_zero_point;
    return input[((uint32_t)y * layer->in_w + (uint32_t)x) * layer->in_c + channel];
}

static const int8_t *corner(const struct nn_layer *layer, const int8_t *input, const struct cursor *cursor)
{
    return input + ((uint32_t)cursor->y * layer->in_w + (uint32_t)cursor->x) * layer->in_c;
}

static int32_t *pack_row(int32_t *out, const int8_t *a, const int8_t *b, uint32_t count)
{
    for (; count >= 4; count -= 4, a += 4, b += 4, out += 4) { /* the loop costs as much as a pair */
        out[0] = pair(a[0], b[0]);
        out[1] = pair(a[1], b[1]);
        out[2] = pair(a[2], b[2]);
        out[3] = pair(a[3], b[3]);
    }
    for (uint32_t i = 0; i < count; i++)
        *out++ = pair(a[i], b[i]);
    return out;
}

/* Pack the windows [kh][kw][in_c] of two pixels into `out`. */
static void pack(const struct nn_layer *layer, const int8_t *input, const struct cursor *first,
                 const struct cursor *second, int32_t *out)
{
    if (is_inside(layer, first) && is_inside(layer, second)) {
        const int8_t *a = corner(layer, input, first), *b = corner(layer, input, second);
        uint32_t count = (uint32_t)layer->kernel_w * layer->in_c, step = (uint32_t)layer->in_w * layer->in_c;
        for (uint32_t ky = 0; ky < layer->kernel_h; ky++, a += step, b += step)
            out = pack_row(out, a, b, count);
        return;
    }
    for (uint32_t ky = 0; ky < layer->kernel_h; ky++)
        for (uint32_t kx = 0; kx < layer->kernel_w; kx++)
            for (uint32_t c = 0; c < layer->in_c; c++)
                *out++ = pair(tap(layer, input, first, ky, kx, c), tap(layer, input, second, ky, kx, c));
}

void conv_pack_tile(const struct nn_layer *layer, const int8_t *input, uint32_t pixel, uint32_t pairs, uint32_t count,
                    uint32_t size, int32_t *words)
{
    /* The windows of a pointwise layer are the pixels themselves, one behind the other. */
    bool pointwise = layer->kernel_h == 1 && layer->kernel_w == 1 && layer->stride_h == 1 && layer->stride_w == 1 &&
                     size == layer->in_c;
    if (pointwise && count == 2 * pairs) {
        struct pack_rows row = {
            .out = words,
            .first = input + pixel * size,
            .distance = (int32_t)(pairs * size),
            .step = 1,
            .count = pairs * size,
            .rows = 1,
        };
        pack_both(&row);
        return;
    }
    struct cursor first = cursor_at(layer, pixel), second = cursor_at(layer, pixel + pairs);
    for (uint32_t i = 0; i < pairs; i++) {
        pack(layer, input, &first, pairs + i < count ? &second : &first, words + i * size);
        advance(layer, &first);
        advance(layer, &second);
    }
}

void conv_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    uint32_t size = ((uint32_t)layer->kernel_h * layer->kernel_w * layer->in_c + 3u) & ~3u;
    uint32_t channels = layer->out_c, pixel = part->pixel, left = part->pixel_end - pixel;
    uint32_t most = part->work->count / size < NN_WORK_SUMS / 2 ? part->work->count / size : NN_WORK_SUMS / 2;
    int8_t *out = arena + layer->output_offset + pixel * channels;
    int32_t *words = part->work->words, *sums = part->work->sums;
    while (left) {
        uint32_t pairs = (left + 1) / 2 < most ? (left + 1) / 2 : most;
        uint32_t count = left < 2 * pairs ? left : 2 * pairs;
        conv_pack_tile(layer, input, pixel, pairs, count, size, words);
        struct requantisation channel = {
            .zero_point = layer->output_zero_point,
            .low = layer->act_min,
            .high = layer->act_max,
        };
        const int8_t *weights = layer->weights + part->channel * size;
        for (uint32_t c = part->channel; c < part->channel_end; c++, weights += size) {
            pair_dots(words, weights, size, pairs, sums);
            channel.bias = layer->bias[c];
            channel.multiplier = layer->multiplier[c];
            channel.shift = layer->shift[c];
            requantise_sums(&channel, sums, count, out + c, channels);
        }
        pixel += count;
        left -= count;
        out += count * channels;
    }
}
