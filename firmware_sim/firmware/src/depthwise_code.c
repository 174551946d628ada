/* 3x3 DEPTHWISE_CONV_2D by generated code: a band of input rows of one channel is packed, then the code runs over it. Planes
 * need no packing: the layer before has done it. */
#include <string.h>

#include "band.h"
#include "depthwise.h"
#include "interpolator.h"
#include "kernels.h"
#include "pair.h"
#include "requantise.h"

/* What a call of the code does. */
struct call {
    const struct nn_layer *layer;
    const int32_t *x;
    uint32_t pitch;
    int8_t *out;
    uint32_t rows;
    int32_t distance;
};

#ifdef __ARM_ARCH_6M__

static void run_code(const struct call *call, const struct nn_depthwise_run *run, const int32_t *numbers,
                     uint32_t count)
{
    run->code(call->x, numbers, call->out, call->rows, call->distance, count);
}

static void fill_planes(const struct nn_layer *layer, int8_t *planes, uint32_t count)
{
    (void)layer, (void)planes, (void)count; /* the code does it */
}

#else

static int8_t twin_output(const struct nn_layer *layer, const int32_t *numbers, int32_t sum)
{
    int32_t value = sum * numbers[9] + ((sum * numbers[10]) >> 12) + numbers[11];
    if (numbers[13])
        value += numbers[15] - (int32_t)((uint32_t)(value < 0) << numbers[14]);
    return clamp(value >> layer->depthwise->shift, layer->act_min, layer->act_max);
}

static void twin_channel(const struct call *call, const int32_t *x, const int32_t *numbers)
{
    const struct nn_layer *layer = call->layer;
    uint32_t bytes = layer->depthwise->words ? 4 : 1;
    int8_t *out = call->out + bytes * (uint32_t)numbers[12];
    for (uint32_t row = 0; row < call->rows; row++, x += layer->stride_h * call->pitch)
        for (uint32_t column = 0; column < layer->out_w; column++, out += bytes * layer->out_c) {
            int32_t sums[2] = {0, 0};
            for (uint32_t tap = 0; tap < 9; tap++) {
                int32_t word = x[tap / 3 * call->pitch + tap % 3 + column * layer->stride_w];
                int32_t first = (int16_t)(word & 0xffff);
                sums[0] += first * numbers[tap];
                sums[1] += ((word - first) >> 16) * numbers[tap];
            }
            if (layer->depthwise->words) {
                int32_t word = pair(twin_output(layer, numbers, sums[0]), twin_output(layer, numbers, sums[1]));
                memcpy(out, &word, sizeof word);
                continue;
            }
            for (uint32_t pixel = 2; pixel-- > 0;)
                out[pixel ? call->distance : 0] = twin_output(layer, numbers, sums[pixel]);
        }
}

/* The plain C twin of the generated code: pixel by pixel, no pairs. */
static void run_code(const struct call *call, const struct nn_depthwise_run *run, const int32_t *numbers,
                     uint32_t count)
{
    (void)run;
    for (uint32_t i = 0; i < count; i++)
        twin_channel(call, call->x + i * call->layer->depthwise->plane.words, numbers + i * NN_NUMBERS);
}

/* The words of a plane that the layer before did not write: see planes.py. */
static void fill_plane(const struct nn_layer *layer, int32_t *words)
{
    const struct nn_plane *plane = &layer->depthwise->plane;
    uint32_t rows = plane->words / plane->pitch;
    int32_t zero = layer->input_zero_point, distance = plane->distance, height = layer->in_h;
    for (uint32_t row = 0; row < rows; row++) {
        int32_t *to = words + row * plane->pitch, y = (int32_t)row - layer->pad_top;
        for (uint32_t x = 0; x < plane->pitch; x++) {
            if (x < layer->pad_left || x >= layer->pad_left + (uint32_t)plane->columns) {
                to[x] = pair(zero, zero);
                continue;
            }
            const int32_t *other = to + x;
            if (y < 0)
                other += distance * plane->pitch;
            else if (y >= distance)
                other -= distance * plane->pitch;
            int32_t low = (int16_t)(*other & 0xffff), high = (*other - low) >> 16;
            int32_t first = y < 0 ? zero : y < distance ? low : y < height ? high : zero;
            int32_t second = y + distance >= height ? zero : y < 0 ? low : high;
            to[x] = pair(first, second);
        }
    }
}

static void fill_planes(const struct nn_layer *layer, int8_t *planes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        fill_plane(layer, (int32_t *)(void *)planes + i * layer->depthwise->plane.words);
}

#endif

static bool is_mine(const struct nn_depthwise_run *run, const struct nn_part *part)
{
    return run->channel >= part->channel && run->channel < part->channel_end;
}

/* A second row that does not exist goes behind the output, where the compiler has left room. */
static void run_planes(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const struct nn_depthwise *depthwise = layer->depthwise;
    uint32_t half = (layer->out_h + 1u) / 2u;
    struct call call = {
        .layer = layer,
        .pitch = depthwise->plane.pitch,
        .out = arena + layer->output_offset,
        .rows = half,
        .distance = (int32_t)(half * layer->out_w * layer->out_c),
    };
    for (const struct nn_depthwise_run *run = depthwise->runs; run < depthwise->runs + depthwise->count; run++) {
        if (!is_mine(run, part))
            continue;
        int8_t *planes = arena + layer->input_offset + 4u * run->plane * depthwise->plane.words;
        fill_planes(layer, planes, run->count);
        call.x = (const int32_t *)(const void *)planes;
        run_code(&call, run, run->numbers, run->count);
    }
}

static void run_bands(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const struct nn_depthwise *depthwise = layer->depthwise;
    uint32_t multiplier = layer->depth_multiplier, row_bytes = (uint32_t)layer->out_w * layer->out_c;
    const int8_t *input = arena + layer->input_offset;
    int32_t *words = part->work->words;
    struct band band = band_of(layer, 1, band_halves(0, layer->out_h), words, part->work->count);
    for (; band_begin(&band); band.row += band.pairs) {
        uint32_t both = band_both(&band), alone = band.pairs - both; /* rows without a second one */
        int8_t *rows = arena + layer->output_offset + band.row * row_bytes;
        struct call first = {layer, words, band.pitch, rows, both, (int32_t)(band.half * row_bytes)};
        struct call last = {layer, words + both * layer->stride_h * band.pitch, band.pitch, rows + both * row_bytes,
                            alone, 0};
        for (const struct nn_depthwise_run *run = depthwise->runs; run < depthwise->runs + depthwise->count; run++) {
            if (!is_mine(run, part))
                continue;
            for (uint32_t i = 0; i < run->count; i++) {
                const int32_t *numbers = run->numbers ? run->numbers + i * NN_NUMBERS : NULL;
                uint32_t c = numbers ? (uint32_t)numbers[12] : run->channel;
                band_pack(&band, input + (multiplier == 1 ? c : c / multiplier));
                if (both)
                    run_code(&first, run, numbers, 1);
                if (alone)
                    run_code(&last, run, numbers, 1);
            }
        }
    }
}

void generated_depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const struct nn_depthwise *depthwise = layer->depthwise;
    interpolator_set(depthwise->shift, layer->act_min, layer->act_max);
    if (depthwise->plane.words) {
        run_planes(layer, arena, part);
        return;
    }
    run_bands(layer, arena, part);
    for (uint32_t i = 0; i < depthwise->rest_count; i++)
        if (depthwise->rest[i] >= part->channel && depthwise->rest[i] < part->channel_end)
            depthwise_channel(layer, arena, part, depthwise->rest[i]);
}
