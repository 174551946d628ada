/* DEPTHWISE_CONV_2D: a channel at a time. Output rows r and r + half are a pair of pixels in every column, so a band
 * of input rows is packed once, padding included, and the windows slide over it without a test for the border. */
#include <stdbool.h>

#include "kernels.h"
#include "pair.h"
#include "requantise.h"

/* One output channel of a layer, and how its input is packed. */
struct plane {
    const struct nn_layer *layer;
    const int8_t *input;  /* [0][0] of its input channel; pixels are in_c bytes apart */
    int8_t *output;       /* [0][0] of the channel; pixels are out_c bytes apart */
    uint32_t half;        /* the second row of a pair of output rows is this far below the first */
    uint32_t width;       /* words of a packed row: what the windows of one output row cover */
    int32_t weights[9];   /* of a 3x3 window */
    const int8_t *any_weights; /* of any other, out_c bytes apart */
    struct requantisation requantisation;
};

/* Value of the channel at input row y, column x; the zero point outside. */
static int32_t tap(const struct plane *plane, int32_t y, int32_t x)
{
    const struct nn_layer *layer = plane->layer;
    if (y < 0 || y >= layer->in_h || x < 0 || x >= layer->in_w)
        return layer->input_zero_point;
    return plane->input[((uint32_t)y * layer->in_w + (uint32_t)x) * layer->in_c];
}

/* Pack `rows` input rows from row y on, each with the row that belongs to the second of the pair. */
static void pack(const struct plane *plane, int32_t y, uint32_t rows)
{
    const struct nn_layer *layer = plane->layer;
    int32_t *out = pair_words;
    int32_t distance = (int32_t)(plane->half * layer->stride_h), in_h = layer->in_h, in_w = layer->in_w;
    uint32_t step = layer->in_c;
    int32_t x_end = (int32_t)plane->width - layer->pad_left, x_inside = x_end < in_w ? x_end : in_w;
    for (; rows; rows--, y++) {
        int32_t x = -(int32_t)layer->pad_left;
        if (y >= 0 && y + distance < in_h) {
            for (; x < 0; x++)
                *out++ = pair(layer->input_zero_point, layer->input_zero_point);
            const int8_t *a = plane->input + (uint32_t)(y * in_w) * step;
            const int8_t *b = a + (uint32_t)(distance * in_w) * step;
            for (; x < x_inside; x++, a += step, b += step)
                *out++ = pair(*a, *b);
        }
        for (; x < x_end; x++)
            *out++ = pair(tap(plane, y, x), tap(plane, y + distance, x));
    }
}

/* Sums of `pairs` windows of any size from the packed rows at `x`, as pair_slide_3x3 gives them. */
static void slide_any(const struct plane *plane, const int32_t *x, uint32_t pairs, int32_t *sums)
{
    const struct nn_layer *layer = plane->layer;
    for (uint32_t i = 0; i < pairs; i++, x += layer->stride_w) {
        const int8_t *w = plane->any_weights;
        uint32_t whole = 0;
        int32_t second = 0;
        for (uint32_t ky = 0; ky < layer->kernel_h; ky++)
            for (uint32_t kx = 0; kx < layer->kernel_w; kx++, w += layer->out_c) {
                int32_t product = x[ky * plane->width + kx] * *w;
                whole += (uint32_t)product;
                second += (product + 0x8000) >> 16;
            }
        sums[i] = (int32_t)(whole - ((uint32_t)second << 16));
        sums[pairs + i] = second;
    }
}

/* One pair of output rows from the packed rows at `x`; `second` is NULL when there is no second row. */
static void output_rows(const struct plane *plane, const int32_t *x, int8_t *first, int8_t *second)
{
    const struct nn_layer *layer = plane->layer;
    uint32_t step = layer->out_c, left = layer->out_w;
    while (left) {
        uint32_t pairs = left < PAIR_SUMS / 2 ? left : PAIR_SUMS / 2;
        if (plane->any_weights) {
            slide_any(plane, x, pairs, pair_sums);
        } else {
            struct pair_rows rows = {.x = x, .width = plane->width, .stride = layer->stride_w, .w = plane->weights};
            pair_slide_3x3(&rows, pairs, pair_sums);
        }
        requantise_sums(&plane->requantisation, pair_sums, pairs, first, step);
        first += pairs * step;
        if (second) {
            requantise_sums(&plane->requantisation, pair_sums + pairs, pairs, second, step);
            second += pairs * step;
        }
        x += pairs * layer->stride_w;
        left -= pairs;
    }
}

static void channel(const struct plane *plane)
{
    const struct nn_layer *layer = plane->layer;
    uint32_t stride = layer->stride_h, row_bytes = (uint32_t)layer->out_w * layer->out_c;
    /* Output rows whose input rows fit the work area at once; nn.h promises one. */
    uint32_t band = (NN_WORK_WORDS / plane->width - layer->kernel_h) / stride + 1;
    for (uint32_t row = 0; row < plane->half; row += band) {
        uint32_t rows = plane->half - row < band ? plane->half - row : band;
        pack(plane, (int32_t)(row * stride) - layer->pad_top, (rows - 1) * stride + layer->kernel_h);
        for (uint32_t i = 0; i < rows; i++) {
            int8_t *first = plane->output + (row + i) * row_bytes;
            int8_t *second = row + i + plane->half < layer->out_h ? first + plane->half * row_bytes : 0;
            output_rows(plane, pair_words + i * stride * plane->width, first, second);
        }
    }
}

void depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena)
{
    struct plane plane = {
        .layer = layer,
        .half = (layer->out_h + 1u) / 2u,
        .width = (layer->out_w - 1u) * layer->stride_w + layer->kernel_w,
        .requantisation = {.zero_point = layer->output_zero_point, .low = layer->act_min, .high = layer->act_max},
    };
    bool is_3x3 = layer->kernel_h == 3 && layer->kernel_w == 3;
    for (uint32_t c = 0; c < layer->out_c; c++) {
        plane.input = arena + layer->input_offset + c / layer->depth_multiplier;
        plane.output = arena + layer->output_offset + c;
        plane.any_weights = is_3x3 ? 0 : layer->weights + c;
        for (uint32_t i = 0; is_3x3 && i < 9; i++)
            plane.weights[i] = layer->weights[i * layer->out_c + c];
        plane.requantisation.bias = layer->bias[c];
        plane.requantisation.multiplier = layer->multiplier[c];
        plane.requantisation.shift = layer->shift[c];
        channel(&plane);
    }
}
