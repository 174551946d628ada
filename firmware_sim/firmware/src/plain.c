/* Convolutions without a trick: any weight, any window, both ways of rounding. */
#include "kernels.h"
#include "part.h"
#include "requantise.h"

/* The part of a window that lies inside the input: rows top to bottom - 1, columns left to right - 1. */
struct inside {
    int32_t y, x; /* of the window's corner */
    int32_t top, bottom, left, right;
};

static struct inside inside_of(const struct nn_layer *layer, uint32_t out_y, uint32_t out_x)
{
    int32_t y = (int32_t)(out_y * layer->stride_h) - layer->pad_top;
    int32_t x = (int32_t)(out_x * layer->stride_w) - layer->pad_left;
    int32_t bottom = y + layer->kernel_h, right = x + layer->kernel_w;
    return (struct inside){
        .y = y,
        .x = x,
        .top = y < 0 ? 0 : y,
        .bottom = bottom > layer->in_h ? layer->in_h : bottom,
        .left = x < 0 ? 0 : x,
        .right = right > layer->in_w ? layer->in_w : right,
    };
}

/* The sum of a window with the zero point taken away from each tap inside: the bias, where it is folded in for all taps,
 * gets back what the taps outside would have had. */
static int32_t outside(const struct nn_layer *layer, int32_t weights)
{
    return weights * layer->input_zero_point;
}

static int8_t finish(const struct nn_layer *layer, int32_t sum, uint32_t channel)
{
    int32_t multiplier = layer->multiplier[channel], shift = layer->shift[channel];
    sum = layer->once ? requantise_once(sum, multiplier, shift) : requantise(sum, multiplier, shift);
    return clamp(sum + layer->output_zero_point, layer->act_min, layer->act_max);
}

void plain_conv_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset + part->pixel * layer->out_c;
    uint32_t depth = layer->in_c, size = ((uint32_t)layer->kernel_h * layer->kernel_w * depth + 3u) & ~3u;
    struct place place = place_of(layer, part->pixel);
    for (uint32_t pixel = part->pixel; pixel < part->pixel_end; pixel++, out += layer->out_c) {
        struct inside at = inside_of(layer, place.y, place.x);
        const int8_t *row = layer->weights + part->channel * size;
        for (uint32_t channel = part->channel; channel < part->channel_end; channel++, row += size) {
            int32_t sum = layer->bias[channel], missed = 0;
            const int8_t *w = row;
            for (int32_t y = at.y; y < at.y + layer->kernel_h; y++)
                for (int32_t x = at.x; x < at.x + layer->kernel_w; x++, w += depth) {
                    if (y < at.top || y >= at.bottom || x < at.left || x >= at.right) {
                        for (uint32_t c = 0; c < depth; c++)
                            missed += w[c];
                        continue;
                    }
                    const int8_t *tap = input + ((uint32_t)y * layer->in_w + (uint32_t)x) * depth;
                    for (uint32_t c = 0; c < depth; c++)
                        sum += tap[c] * w[c];
                }
            out[channel] = finish(layer, sum + outside(layer, missed), channel);
        }
        next_place(layer, &place);
    }
}

void plain_depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset + part->pixel * layer->out_c;
    struct place place = place_of(layer, part->pixel);
    for (uint32_t pixel = part->pixel; pixel < part->pixel_end; pixel++, out += layer->out_c) {
        struct inside at = inside_of(layer, place.y, place.x);
        for (uint32_t channel = part->channel; channel < part->channel_end; channel++) {
            uint32_t source = channel / layer->depth_multiplier;
            int32_t sum = layer->bias[channel], missed = 0;
            const int8_t *w = layer->weights + channel;
            for (int32_t y = at.y; y < at.y + layer->kernel_h; y++)
                for (int32_t x = at.x; x < at.x + layer->kernel_w; x++, w += layer->out_c) {
                    if (y < at.top || y >= at.bottom || x < at.left || x >= at.right)
                        missed += *w;
                    else
                        sum += input[((uint32_t)y * layer->in_w + (uint32_t)x) * layer->in_c + source] * *w;
                }
            out[channel] = finish(layer, sum + outside(layer, missed), channel);
        }
        next_place(layer, &place);
    }
}
