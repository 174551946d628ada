/* 3x3 DEPTHWISE_CONV_2D by generated code. Output rows r and r + half are a pair of pixels in every column. A band of
 * input rows of one channel is packed, padding included, then the code runs over its windows. */
#include <stdbool.h>
#include <stddef.h>

#include "depthwise.h"
#include "interpolator.h"
#include "kernels.h"
#include "pack.h"
#include "pair.h"
#include "requantise.h"

/* What generated code is told of a channel: w[9], m, b, k, distance. */
#define CODE_WORDS 13

/* Rows of a band that are packed alike: which of both pixels' rows lie inside the input. */
struct run {
    bool first, second;
    uint32_t row, rows; /* in the band */
};
#define MAX_RUNS 6u

struct band {
    const struct nn_layer *layer;
    uint32_t half, width;  /* rows between both pixels; words of a packed row */
    uint32_t row, pairs;   /* first output row, and how many */
    int32_t y;             /* input row of the first packed row */
    int32_t distance;      /* input rows between both pixels */
    struct run runs[MAX_RUNS];
    uint32_t run_count;
};

#ifdef __ARM_ARCH_6M__

static void run_code(const struct band *band, const struct nn_depthwise_channel *channel, const int32_t *x,
                     const int32_t *numbers, int8_t *out, uint32_t rows)
{
    (void)band;
    channel->code(x, numbers, out, rows);
}

#else

/* The plain C twin of the generated code: pixel by pixel, no pairs. */
static void run_code(const struct band *band, const struct nn_depthwise_channel *channel, const int32_t *x,
                     const int32_t *numbers, int8_t *out, uint32_t rows)
{
    const struct nn_layer *layer = band->layer;
    int32_t m = numbers[9], b = numbers[10], k = numbers[11];
    (void)channel;
    for (uint32_t row = 0; row < rows; row++, x += layer->stride_h * band->width)
        for (uint32_t column = 0; column < layer->out_w; column++, out += layer->out_c) {
            int32_t sums[2] = {0, 0};
            for (uint32_t tap = 0; tap < 9; tap++) {
                int32_t word = x[tap / 3 * band->width + tap % 3 + column * layer->stride_w];
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

static bool is_inside(const struct nn_layer *layer, int32_t y)
{
    return y >= 0 && y < layer->in_h;
}

/* Note which rows of the band are packed alike. */
static void find_runs(struct band *band)
{
    const struct nn_layer *layer = band->layer;
    uint32_t rows = (band->pairs - 1) * layer->stride_h + 3;
    struct run *last = NULL;
    band->run_count = 0;
    for (uint32_t row = 0; row < rows; row++) {
        int32_t y = band->y + (int32_t)row;
        bool first = is_inside(layer, y), second = is_inside(layer, y + band->distance);
        if (last != NULL && last->first == first && last->second == second) {
            last->rows++;
            continue;
        }
        last = &band->runs[band->run_count++];
        *last = (struct run){first, second, row, 1};
    }
}

/* Pack the band of the input channel at `input`. The columns beside the input hold the zero point already. */
static void pack_band(const struct band *band, const int8_t *input, int32_t *words)
{
    const struct nn_layer *layer = band->layer;
    uint32_t line = (uint32_t)layer->in_w * layer->in_c, right = band->width - layer->pad_left;
    int32_t zero = layer->input_zero_point;
    struct pack_rows rows = {
        .step = layer->in_c,
        .count = right < layer->in_w ? right : layer->in_w,
        .pitch = band->width,
        .line = line,
        .distance = band->distance * (int32_t)line,
    };
    for (uint32_t i = 0; i < band->run_count; i++) {
        const struct run *run = &band->runs[i];
        int32_t y = band->y + (int32_t)run->row;
        rows.out = words + run->row * band->width + layer->pad_left;
        if (run->first && run->second) {
            rows.rows = run->rows;
            rows.first = input + (uint32_t)y * line;
            pack_both(&rows);
            continue;
        }
        for (uint32_t row = 0; row < run->rows; row++, y++, rows.out += band->width) {
            if (!run->first && !run->second) {
                for (uint32_t x = 0; x < rows.count; x++)
                    rows.out[x] = pair(zero, zero);
                continue;
            }
            rows.first = input + (uint32_t)(run->first ? y : y + band->distance) * line;
            pack_one(&rows, run->first ? 0 : 16, run->first ? pair(0, zero) : zero);
        }
    }
}

/* The band's output rows of one channel. */
static void code_band(const struct band *band, const struct nn_depthwise_channel *channel, const int32_t *words,
                      int32_t *numbers, int8_t *out)
{
    const struct nn_layer *layer = band->layer;
    uint32_t row_bytes = (uint32_t)layer->out_w * layer->out_c, below = band->row + band->half;
    uint32_t both = layer->out_h - below < band->pairs ? layer->out_h - below : band->pairs; /* of an odd number one less */
    out += band->row * row_bytes;
    numbers[12] = (int32_t)(band->half * row_bytes);
    if (both)
        run_code(band, channel, words, numbers, out, both);
    numbers[12] = 0;
    if (both < band->pairs)
        run_code(band, channel, words + both * layer->stride_h * band->width, numbers, out + both * row_bytes,
                 band->pairs - both);
}

void generated_depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const struct nn_depthwise *depthwise = layer->depthwise;
    uint32_t stride = layer->stride_h, multiplier = layer->depth_multiplier;
    struct band band = {
        .layer = layer,
        .half = (layer->out_h + 1u) / 2u,
        .width = (layer->out_w - 1u) * layer->stride_w + 3,
    };
    uint32_t most = (NN_WORK_WORDS / band.width - 3) / stride + 1; /* output rows whose input rows fit; at least one */
    const int8_t *input = arena + layer->input_offset;
    int8_t *output = arena + layer->output_offset;
    int32_t *words = part->work->words;
    band.distance = (int32_t)(band.half * stride);
    interpolator_set(depthwise->shift, layer->act_min, layer->act_max);
    for (uint32_t i = 0; i < NN_WORK_WORDS; i++)
        words[i] = pair(layer->input_zero_point, layer->input_zero_point);
    for (band.row = 0; band.row < band.half; band.row += band.pairs) {
        band.pairs = band.half - band.row < most ? band.half - band.row : most;
        band.y = (int32_t)(band.row * stride) - layer->pad_top;
        find_runs(&band);
        for (uint32_t i = 0; i < depthwise->count; i++) {
            const struct nn_depthwise_channel *channel = &depthwise->channels[i];
            uint32_t c = channel->channel;
            if (c < part->channel || c >= part->channel_end)
                continue;
            int32_t numbers[CODE_WORDS];
            const int8_t *w = layer->weights + c;
            for (uint32_t tap = 0; tap < 9; tap++, w += layer->out_c)
                numbers[tap] = *w;
            numbers[9] = channel->m;
            numbers[10] = channel->b;
            numbers[11] = channel->k;
            pack_band(&band, input + (multiplier == 1 ? c : c / multiplier), words);
            code_band(&band, channel, words, numbers, output + c);
        }
    }
    for (uint32_t i = 0; i < depthwise->rest_count; i++)
        if (depthwise->rest[i] >= part->channel && depthwise->rest[i] < part->channel_end)
            depthwise_channel(layer, arena, part, depthwise->rest[i]);
}
