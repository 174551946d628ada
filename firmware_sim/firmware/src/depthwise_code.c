/* 3x3 DEPTHWISE_CONV_2D by generated code: a band of input rows of one channel is packed, then the code runs over it. */
#include "band.h"
#include "depthwise.h"
#include "interpolator.h"
#include "kernels.h"
#include "requantise.h"

/* What generated code is told of a channel: w[9], m, b, k, distance. */
#define CODE_WORDS 13

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
    for (uint32_t row = 0; row < rows; row++, x += layer->stride_h * band->pitch)
        for (uint32_t column = 0; column < layer->out_w; column++, out += layer->out_c) {
            int32_t sums[2] = {0, 0};
            for (uint32_t tap = 0; tap < 9; tap++) {
                int32_t word = x[tap / 3 * band->pitch + tap % 3 + column * layer->stride_w];
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

/* The band's output rows of one channel. */
static void code_band(const struct band *band, const struct nn_depthwise_channel *channel, const int32_t *words,
                      int32_t *numbers, int8_t *out)
{
    const struct nn_layer *layer = band->layer;
    uint32_t row_bytes = (uint32_t)layer->out_w * layer->out_c, both = band_both(band);
    out += band->row * row_bytes;
    numbers[12] = (int32_t)(band->half * row_bytes);
    if (both)
        run_code(band, channel, words, numbers, out, both);
    numbers[12] = 0;
    if (both < band->pairs)
        run_code(band, channel, words + both * layer->stride_h * band->pitch, numbers, out + both * row_bytes,
                 band->pairs - both);
}

void generated_depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const struct nn_depthwise *depthwise = layer->depthwise;
    uint32_t multiplier = layer->depth_multiplier;
    const int8_t *input = arena + layer->input_offset;
    int8_t *output = arena + layer->output_offset;
    int32_t *words = part->work->words;
    struct band band = band_of(layer, 1, 0, layer->out_h, words, part->work->count);
    interpolator_set(depthwise->shift, layer->act_min, layer->act_max);
    for (; band_begin(&band); band.row += band.pairs)
        for (uint32_t i = 0; i < depthwise->count; i++) {
            const struct nn_depthwise_channel *channel = &depthwise->channels[i];
            uint32_t c = channel->channel;
            int32_t numbers[CODE_WORDS];
            if (c < part->channel || c >= part->channel_end)
                continue;
            const int8_t *w = layer->weights + c;
            for (uint32_t tap = 0; tap < 9; tap++, w += layer->out_c)
                numbers[tap] = *w;
            numbers[9] = channel->m;
            numbers[10] = channel->b;
            numbers[11] = channel->k;
            band_pack(&band, input + (multiplier == 1 ? c : c / multiplier), words);
            code_band(&band, channel, words, numbers, output + c);
        }
    for (uint32_t i = 0; i < depthwise->rest_count; i++)
        if (depthwise->rest[i] >= part->channel && depthwise->rest[i] < part->channel_end)
            depthwise_channel(layer, arena, part, depthwise->rest[i]);
}
