/* 3x3 DEPTHWISE_CONV_2D by generated code: a band of input rows of one channel is packed, then the code runs over it. */
#include "band.h"
#include "depthwise.h"
#include "interpolator.h"
#include "kernels.h"
#include "requantise.h"

#ifdef __ARM_ARCH_6M__

static void run_code(const struct band *band, const struct nn_depthwise_channel *channel, const int32_t *x, int8_t *out,
                     uint32_t rows, int32_t distance)
{
    (void)band;
    channel->code(x, channel->numbers, out, rows, distance);
}

#else

/* The plain C twin of the generated code: pixel by pixel, no pairs. */
static void run_code(const struct band *band, const struct nn_depthwise_channel *channel, const int32_t *x, int8_t *out,
                     uint32_t rows, int32_t distance)
{
    const struct nn_layer *layer = band->layer;
    const int32_t *numbers = channel->numbers;
    int32_t m = numbers[9], b = numbers[10], k = numbers[11];
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
                out[pixel ? distance : 0] = clamp(value >> layer->depthwise->shift, layer->act_min, layer->act_max);
            }
        }
}

#endif

void generated_depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const struct nn_depthwise *depthwise = layer->depthwise;
    const struct nn_depthwise_channel *end = depthwise->channels + depthwise->count;
    uint32_t multiplier = layer->depth_multiplier, row_bytes = (uint32_t)layer->out_w * layer->out_c;
    const int8_t *input = arena + layer->input_offset;
    int32_t *words = part->work->words;
    struct band band = band_of(layer, 1, 0, layer->out_h, words, part->work->count);
    int32_t distance = (int32_t)(band.half * row_bytes);
    interpolator_set(depthwise->shift, layer->act_min, layer->act_max);
    for (; band_begin(&band); band.row += band.pairs) {
        uint32_t both = band_both(&band), alone = band.pairs - both; /* rows without a second one */
        const int32_t *behind = words + both * layer->stride_h * band.pitch;
        int8_t *rows = arena + layer->output_offset + band.row * row_bytes;
        for (const struct nn_depthwise_channel *channel = depthwise->channels; channel < end; channel++) {
            uint32_t c = channel->channel;
            if (c < part->channel || c >= part->channel_end)
                continue;
            band_pack(&band, input + (multiplier == 1 ? c : c / multiplier));
            if (both)
                run_code(&band, channel, words, rows + c, both, distance);
            if (alone)
                run_code(&band, channel, behind, rows + c + both * row_bytes, alone, 0);
        }
    }
    for (uint32_t i = 0; i < depthwise->rest_count; i++)
        if (depthwise->rest[i] >= part->channel && depthwise->rest[i] < part->channel_end)
            depthwise_channel(layer, arena, part, depthwise->rest[i]);
}
