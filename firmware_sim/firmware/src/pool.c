/* AVERAGE_POOL_2D, MAX_POOL_2D and MEAN. */
#include <stdbool.h>

#include "kernels.h"
#include "part.h"
#include "requantise.h"

/* Where a window meets the input: rows top to bottom - 1, columns left to right - 1. */
struct area {
    int32_t top, bottom, left, right;
};

static struct area area_of(const struct nn_layer *layer, int32_t out_y, int32_t out_x)
{
    int32_t y = out_y * layer->stride_h - layer->pad_top, x = out_x * layer->stride_w - layer->pad_left;
    int32_t bottom = y + layer->kernel_h, right = x + layer->kernel_w;
    return (struct area){
        .top = y < 0 ? 0 : y,
        .bottom = bottom > layer->in_h ? layer->in_h : bottom,
        .left = x < 0 ? 0 : x,
        .right = right > layer->in_w ? layer->in_w : right,
    };
}

/* |sum| + half, divided by count, for 1 <= count <= MOST_VALUES and |sum| <= 128 * count: v * (2^24 / count + 1) >> 24
 * is v / count as long as v * count < 2^24, and no product leaves 32 bits. */
#define MOST_VALUES 256

static int32_t rounded_mean(int32_t sum, int32_t count, uint32_t reciprocal)
{
    uint32_t size = (uint32_t)(sum < 0 ? -sum : sum) + (uint32_t)count / 2;
    int32_t mean = (int32_t)(size * reciprocal >> 24);
    return sum < 0 ? -mean : mean;
}

/* The sums of four channels at once, which `channel` is the first of: bytes of x + 128 in two lanes a word. */
static void sum_four(const struct nn_layer *layer, const int8_t *input, const struct area *area, uint32_t channel,
                     int32_t *sums)
{
    typedef uint32_t __attribute__((may_alias)) word;
    uint32_t even = 0, odd = 0, step = layer->in_c / 4u;
    int32_t columns = area->right - area->left;
    for (int32_t y = area->top; y < area->bottom; y++) {
        const int8_t *row = input + ((uint32_t)y * layer->in_w + (uint32_t)area->left) * layer->in_c + channel;
        const word *x = (const word *)(const void *)row;
        for (int32_t i = 0; i < columns; i++, x += step) {
            uint32_t bytes = *x ^ 0x80808080u;
            even += bytes & 0x00ff00ffu;
            odd += (bytes >> 8) & 0x00ff00ffu;
        }
    }
    int32_t offset = 128 * columns * (area->bottom - area->top);
    sums[0] = (int32_t)(even & 0xffffu) - offset;
    sums[1] = (int32_t)(odd & 0xffffu) - offset;
    sums[2] = (int32_t)(even >> 16) - offset;
    sums[3] = (int32_t)(odd >> 16) - offset;
}

void average_pool_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset + part->pixel * layer->out_c;
    struct place place = place_of(layer, part->pixel);
    for (uint32_t pixel = part->pixel; pixel < part->pixel_end; pixel++, out += layer->out_c) {
        struct area area = area_of(layer, (int32_t)place.y, (int32_t)place.x);
        int32_t count = (area.bottom - area.top) * (area.right - area.left);
        uint32_t channel = part->channel, reciprocal = (1u << 24) / (uint32_t)count + 1;
        bool by_four = count <= MOST_VALUES && layer->in_c % 4 == 0 && channel % 4 == 0;
        for (; by_four && channel + 4 <= part->channel_end; channel += 4) {
            int32_t sums[4];
            sum_four(layer, input, &area, channel, sums);
            for (uint32_t i = 0; i < 4; i++)
                out[channel + i] = clamp(rounded_mean(sums[i], count, reciprocal), layer->act_min, layer->act_max);
        }
        for (; channel < part->channel_end; channel++) {
            int32_t sum = 0;
            for (int32_t y = area.top; y < area.bottom; y++)
                for (int32_t x = area.left; x < area.right; x++)
                    sum += input[((uint32_t)y * layer->in_w + (uint32_t)x) * layer->in_c + channel];
            sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count; /* truncates toward zero, as TFLite */
            out[channel] = clamp(sum, layer->act_min, layer->act_max);
        }
        next_place(layer, &place);
    }
}

void max_pool_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset + part->pixel * layer->out_c;
    struct place place = place_of(layer, part->pixel);
    for (uint32_t pixel = part->pixel; pixel < part->pixel_end; pixel++, out += layer->out_c) {
        struct area area = area_of(layer, (int32_t)place.y, (int32_t)place.x);
        for (uint32_t channel = part->channel; channel < part->channel_end; channel++) {
            int32_t largest = INT8_MIN;
            for (int32_t y = area.top; y < area.bottom; y++)
                for (int32_t x = area.left; x < area.right; x++) {
                    int32_t value = input[((uint32_t)y * layer->in_w + (uint32_t)x) * layer->in_c + channel];
                    largest = value > largest ? value : largest;
                }
            out[channel] = clamp(largest, layer->act_min, layer->act_max);
        }
        next_place(layer, &place);
    }
}

/* Each axis is either kept, with a window of one, or taken whole. */
void mean(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset + part->pixel * layer->out_c;
    uint32_t high = layer->kernel_h, wide = layer->kernel_w, deep = layer->depth_multiplier;
    int32_t count = (int32_t)(high * wide * deep);
    struct place place = place_of(layer, part->pixel);
    for (uint32_t pixel = part->pixel; pixel < part->pixel_end; pixel++, out += layer->out_c) {
        uint32_t y = place.y * high, x = place.x * wide;
        for (uint32_t channel = part->channel; channel < part->channel_end; channel++) {
            int32_t sum = -count * layer->input_zero_point;
            for (uint32_t i = y; i < y + high; i++)
                for (uint32_t j = x; j < x + wide; j++)
                    for (uint32_t k = channel * deep; k < (channel + 1) * deep; k++)
                        sum += input[(i * layer->in_w + j) * layer->in_c + k];
            sum = requantise(sum, layer->multiplier[0], layer->shift[0]);
            out[channel] = clamp(sum + layer->output_zero_point, INT8_MIN, INT8_MAX);
        }
        next_place(layer, &place);
    }
}
