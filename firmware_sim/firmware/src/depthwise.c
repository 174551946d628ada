/* DEPTHWISE_CONV_2D: a channel at a time. Output rows r and r + half are a pair of pixels in every column, so a band
 * of input rows is packed once, padding included, and the windows slide over it without a test for the border. */
#include <stdbool.h>

#include "depthwise.h"
#include "kernels.h"
#include "pair.h"
#include "requantise.h"

/* One output channel of a layer, and how its input is packed. */
struct plane {
    const struct nn_layer *layer;
    const int8_t *input; /* [0][0] of its input channel; pixels are in_c bytes apart */
    int8_t *output;      /* [0][0] of the channel; pixels are out_c bytes apart */
    uint32_t half;       /* the second row of a pair of output rows is this far below the first */
    uint32_t width;      /* words of a packed row: what the windows of one output row cover */
    const int8_t *weights; /* out_c bytes apart */
    int32_t weights_3x3[9];
    struct requantisation requantisation;
    struct nn_work *work;
};

/* A row of the channel's input: `step` bytes from pixel to pixel. Above and below the input all are the zero point. */
struct row {
    const int8_t *x;
    uint32_t step;
};

static struct row input_row(const struct plane *plane, int32_t y)
{
    const struct nn_layer *layer = plane->layer;
    if (y < 0 || y >= layer->in_h)
        return (struct row){&layer->input_zero_point, 0};
    return (struct row){plane->input + (uint32_t)y * layer->in_w * layer->in_c, layer->in_c};
}

/* Pack `rows` input rows from row y on, each with the row that belongs to the second of the pair. */
static void pack(const struct plane *plane, int32_t y, uint32_t rows)
{
    const struct nn_layer *layer = plane->layer;
    int32_t *out = plane->work->words;
    int32_t distance = (int32_t)(plane->half * layer->stride_h);
    int32_t outside = pair(layer->input_zero_point, layer->input_zero_point);
    uint32_t left = layer->pad_left, behind = plane->width - left;
    uint32_t inside = behind < layer->in_w ? behind : layer->in_w;
    for (; rows; rows--, y++) {
        struct row a = input_row(plane, y), b = input_row(plane, y + distance);
        for (uint32_t x = 0; x < left; x++)
            *out++ = outside;
        for (uint32_t x = 0; x < inside; x++, a.x += a.step, b.x += b.step)
            *out++ = pair(*a.x, *b.x);
        for (uint32_t x = inside; x < behind; x++)
            *out++ = outside;
    }
}

/* pair_slide_3x3 for windows of any size. */
static void slide_any(const struct plane *plane, const struct pair_rows *rows, uint32_t pairs, int32_t *sums)
{
    const struct nn_layer *layer = plane->layer;
    const int32_t *x = rows->x;
    for (uint32_t i = 0; i < pairs; i++, x += rows->stride) {
        const int8_t *w = plane->weights;
        uint32_t whole = 0;
        int32_t second = 0;
        for (uint32_t ky = 0; ky < layer->kernel_h; ky++)
            for (uint32_t kx = 0; kx < layer->kernel_w; kx++, w += layer->out_c) {
                int32_t product = x[ky * rows->width + kx] * *w;
                whole += (uint32_t)product;
                second += (product + 0x8000) >> 16;
            }
        sums[i] = (int32_t)(whole - ((uint32_t)second << 16));
        sums[rows->distance + i] = second;
    }
}

/* `rows` pairs of output rows from `row` on, `columns` of them from column x on; `packed` is where the first row's
 * windows begin. More than one row only with all columns: then their pixels follow each other in the output. */
static void output_rows(const struct plane *plane, const int32_t *packed, uint32_t row, uint32_t rows, uint32_t x,
                        uint32_t columns)
{
    const struct nn_layer *layer = plane->layer;
    uint32_t step = layer->out_c, below = row + plane->half;
    int32_t *sums = plane->work->sums;
    struct pair_rows window = {
        .x = packed + x * layer->stride_w,
        .width = plane->width,
        .stride = layer->stride_w,
        .w = plane->weights_3x3,
        .distance = rows * columns,
    };
    for (uint32_t i = 0; i < rows; i++, window.x += layer->stride_h * plane->width) {
        if (layer->kernel_h == 3 && layer->kernel_w == 3)
            pair_slide_3x3(&window, columns, sums + i * columns);
        else
            slide_any(plane, &window, columns, sums + i * columns);
    }
    int8_t *first = plane->output + (row * layer->out_w + x) * step;
    requantise_sums(&plane->requantisation, sums, rows * columns, first, step);
    uint32_t second_rows = layer->out_h - below < rows ? layer->out_h - below : rows; /* of an odd number one less */
    int8_t *second = first + plane->half * layer->out_w * step;
    requantise_sums(&plane->requantisation, sums + rows * columns, second_rows * columns, second, step);
}

static void run_channel(const struct plane *plane)
{
    const struct nn_layer *layer = plane->layer;
    uint32_t stride = layer->stride_h, width = layer->out_w;
    uint32_t columns = width < NN_WORK_SUMS / 2 ? width : NN_WORK_SUMS / 2, most = NN_WORK_SUMS / 2 / columns;
    /* Output rows whose input rows fit the work area at once; nn.h promises one. */
    uint32_t band = (plane->work->count / plane->width - layer->kernel_h) / stride + 1;
    for (uint32_t row = 0; row < plane->half; row += band) {
        uint32_t left = plane->half - row < band ? plane->half - row : band;
        const int32_t *packed = plane->work->words;
        pack(plane, (int32_t)(row * stride) - layer->pad_top, (left - 1) * stride + layer->kernel_h);
        for (uint32_t first = row, rows; left; left -= rows, first += rows, packed += rows * stride * plane->width) {
            rows = left < most && columns == width ? left : columns == width ? most : 1;
            for (uint32_t x = 0; x < width; x += columns)
                output_rows(plane, packed, first, rows, x, width - x < columns ? width - x : columns);
        }
    }
}

void depthwise_channel(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part, uint32_t c)
{
    struct plane plane = {
        .layer = layer,
        .input = arena + layer->input_offset + c / layer->depth_multiplier,
        .output = arena + layer->output_offset + c,
        .half = (layer->out_h + 1u) / 2u,
        .width = (layer->out_w - 1u) * layer->stride_w + layer->kernel_w,
        .work = part->work,
        .weights = layer->weights + c,
        .requantisation = {
            .bias = layer->bias[c],
            .multiplier = layer->multiplier[c],
            .shift = layer->shift[c],
            .zero_point = layer->output_zero_point,
            .low = layer->act_min,
            .high = layer->act_max,
        },
    };
    for (uint32_t i = 0; i < 9 && layer->kernel_h == 3 && layer->kernel_w == 3; i++)
        plane.weights_3x3[i] = plane.weights[i * layer->out_c];
    run_channel(&plane);
}

void depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    for (uint32_t c = part->channel; c < part->channel_end; c++)
        depthwise_channel(layer, arena, part, c);
}
