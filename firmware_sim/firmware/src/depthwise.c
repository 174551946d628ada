/* DEPTHWISE_CONV_2D: a channel at a time. Output rows r and r + half are a pair of pixels in every column, so a band
 * of input rows is packed once, padding included, and the windows slide over it without a test for the border. */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "interpolator.h"
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

/* What generated code is told of a channel: w[9], m, b, k, distance. */
#define CODE_WORDS 13

#ifdef __ARM_ARCH_6M__

static void run_code(const struct plane *plane, uint32_t variant, const int32_t *x, const int32_t *numbers, int8_t *out,
                     uint32_t rows)
{
    plane->layer->depthwise->code[variant](x, numbers, out, rows);
}

#else

/* The plain C twin of the generated code: pixel by pixel, no pairs. */
static void run_code(const struct plane *plane, uint32_t variant, const int32_t *x, const int32_t *numbers, int8_t *out,
                     uint32_t rows)
{
    const struct nn_layer *layer = plane->layer;
    int32_t m = numbers[9], b = numbers[10], k = (variant & 1) ? numbers[11] : 0;
    for (uint32_t row = 0; row < rows; row++, x += layer->stride_h * plane->width)
        for (uint32_t column = 0; column < layer->out_w; column++, out += layer->out_c) {
            int32_t sums[2] = {0, 0};
            for (uint32_t tap = 0; tap < 9; tap++) {
                int32_t word = x[tap / 3 * plane->width + tap % 3 + column * layer->stride_w];
                int32_t first = (int16_t)(word & 0xffff);
                sums[0] += first * numbers[tap];
                sums[1] += ((word - first) >> 16) * numbers[tap];
            }
            for (uint32_t pixel = 2; pixel-- > 0;) {
                int32_t high = sums[pixel] >> 8, value;
                uint32_t low = (uint32_t)(sums[pixel] & 255) * (uint32_t)m;
                value = high * m + (k ? ((int32_t)low + high * k) >> 8 : (int32_t)(low >> 8)) + b;
                out[pixel ? numbers[12] : 0] = clamp(value >> layer->depthwise->shift, layer->act_min, layer->act_max);
            }
        }
}

#endif

/* `rows` pairs of output rows from `row` on by generated code. */
static void code_rows(const struct plane *plane, const struct nn_depthwise_channel *channel, const int32_t *packed,
                      uint32_t row, uint32_t rows)
{
    const struct nn_layer *layer = plane->layer;
    uint32_t row_bytes = (uint32_t)layer->out_w * layer->out_c, below = row + plane->half;
    int32_t numbers[CODE_WORDS];
    memcpy(numbers, plane->weights_3x3, sizeof plane->weights_3x3);
    numbers[9] = channel->m;
    numbers[10] = channel->b;
    numbers[11] = channel->k;
    numbers[12] = (int32_t)(plane->half * row_bytes);
    uint32_t both = layer->out_h - below < rows ? layer->out_h - below : rows; /* of an odd number one less */
    int8_t *out = plane->output + row * row_bytes;
    if (both)
        run_code(plane, channel->variant, packed, numbers, out, both);
    numbers[12] = 0;
    if (both < rows)
        run_code(plane, channel->variant, packed + both * layer->stride_h * plane->width, numbers,
                 out + both * row_bytes, rows - both);
}

static void channel(const struct plane *plane, const struct nn_depthwise_channel *coded)
{
    const struct nn_layer *layer = plane->layer;
    uint32_t stride = layer->stride_h, width = layer->out_w;
    uint32_t columns = width < NN_WORK_SUMS / 2 ? width : NN_WORK_SUMS / 2, most = NN_WORK_SUMS / 2 / columns;
    /* Output rows whose input rows fit the work area at once; nn.h promises one. */
    uint32_t band = (NN_WORK_WORDS / plane->width - layer->kernel_h) / stride + 1;
    for (uint32_t row = 0; row < plane->half; row += band) {
        uint32_t left = plane->half - row < band ? plane->half - row : band;
        const int32_t *packed = plane->work->words;
        pack(plane, (int32_t)(row * stride) - layer->pad_top, (left - 1) * stride + layer->kernel_h);
        if (coded != NULL && coded->variant != NN_NO_VARIANT) {
            code_rows(plane, coded, packed, row, left);
            continue;
        }
        for (uint32_t first = row, rows; left; left -= rows, first += rows, packed += rows * stride * plane->width) {
            rows = left < most && columns == width ? left : columns == width ? most : 1;
            for (uint32_t x = 0; x < width; x += columns)
                output_rows(plane, packed, first, rows, x, width - x < columns ? width - x : columns);
        }
    }
}

void depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    struct plane plane = {
        .layer = layer,
        .half = (layer->out_h + 1u) / 2u,
        .width = (layer->out_w - 1u) * layer->stride_w + layer->kernel_w,
        .work = part->work,
        .requantisation = {.zero_point = layer->output_zero_point, .low = layer->act_min, .high = layer->act_max},
    };
    bool is_3x3 = layer->kernel_h == 3 && layer->kernel_w == 3;
    if (layer->depthwise != NULL)
        interpolator_set(layer->depthwise->shift, layer->act_min, layer->act_max);
    for (uint32_t c = part->channel; c < part->channel_end; c++) {
        plane.input = arena + layer->input_offset + c / layer->depth_multiplier;
        plane.output = arena + layer->output_offset + c;
        plane.weights = layer->weights + c;
        for (uint32_t i = 0; is_3x3 && i < 9; i++)
            plane.weights_3x3[i] = plane.weights[i * layer->out_c];
        const struct nn_depthwise_channel *coded = layer->depthwise != NULL ? &layer->depthwise->channels[c] : NULL;
        if (coded == NULL || coded->variant == NN_NO_VARIANT) {
            plane.requantisation.bias = layer->bias[c];
            plane.requantisation.multiplier = layer->multiplier[c];
            plane.requantisation.shift = layer->shift[c];
        }
        channel(&plane, coded);
    }
}
