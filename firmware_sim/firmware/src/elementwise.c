/* What works value by value: ADD, SUB, MUL, tables, the float borders, and the copies of PAD and CONCATENATION. */
#include <string.h>

#include "interpolator.h"
#include "kernels.h"
#include "part.h"
#include "requantise.h"
#include "sum.h"

void pad(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *output = arena + layer->output_offset;
    uint32_t channels = layer->in_c, row = layer->in_w * channels, out_row = (uint32_t)layer->out_w * layer->out_c;
    for (uint32_t pixel = part->pixel, y = pixel / layer->out_w; pixel < part->pixel_end; pixel += layer->out_w, y++) {
        int8_t *to = output + y * out_row;
        memset(to, layer->output_zero_point, out_row);
        if (y < layer->pad_top || y >= layer->pad_top + (uint32_t)layer->in_h)
            continue;
        to += (uint32_t)layer->pad_left * layer->out_c + layer->pad_before;
        const int8_t *from = input + (y - layer->pad_top) * row;
        if (layer->out_c == channels) {
            memcpy(to, from, row);
            continue;
        }
        for (uint32_t x = 0; x < layer->in_w; x++)
            memcpy(to + x * layer->out_c, from + x * channels, channels);
    }
}

void copy(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *output = arena + layer->output_offset;
    (void)part;
    uint32_t rows = layer->steps[0][0], bytes = layer->steps[0][1], step = layer->steps[0][2];
    for (uint32_t i = 0; i < rows; i++)
        memcpy(output + i * step, input + i * bytes, bytes);
}

void lookup(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset;
    struct run run = run_of(layer, part);
    for (uint32_t i = run.begin; i < run.end; i++)
        out[i] = layer->weights[(uint8_t)input[i]];
}

void dequantize(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset;
    struct run run = run_of(layer, part);
    for (uint32_t i = run.begin; i < run.end; i++)
        memcpy(out + 4 * i, layer->bias + (uint8_t)input[i], 4);
}

/* Half away from zero; what no int32 holds saturates, and no number at all is the lowest. */
static int32_t rounded(float value)
{
    if (!(value > -2147483648.0f))
        return INT32_MIN;
    if (value >= 2147483648.0f)
        return INT32_MAX;
    int32_t whole = (int32_t)value; /* toward zero */
    float rest = value - (float)whole;
    return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

/* So that the zero point can be added; beyond int8's range anyway. */
static int32_t saturated(int32_t step)
{
    return step < -512 ? -512 : step > 512 ? 512 : step;
}

void quantize(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset;
    float scale;
    memcpy(&scale, layer->multiplier, sizeof scale);
    struct run run = run_of(layer, part);
    for (uint32_t i = run.begin; i < run.end; i++) {
        float value;
        memcpy(&value, input + 4 * i, sizeof value);
        int32_t step = saturated(rounded(value / scale));
        out[i] = clamp(step + layer->output_zero_point, -128, 127);
    }
}

/* An input of ADD on the scale that both share: 20 bits to the left (TFLite's choice), then its own factor. */
static int32_t common_scale(int32_t value, int32_t multiplier, int32_t shift)
{
    return requantise(value * (1 << 20), multiplier, shift);
}

/* The value at [y][x][c] of input 0 or 1, without its zero point. */
struct operand {
    const int8_t *values;
    const uint32_t *steps;
    int32_t zero_point;
};

static struct operand operand(const struct nn_layer *layer, const int8_t *arena, uint32_t which)
{
    const int8_t *constant = layer->constants[which];
    uint32_t offset = which ? layer->input2_offset : layer->input_offset;
    return (struct operand){
        .values = constant ? constant : arena + offset,
        .steps = layer->steps[which],
        .zero_point = which ? layer->input2_zero_point : layer->input_zero_point,
    };
}

static inline int32_t value_at(const struct operand *from, struct place place, uint32_t c)
{
    return from->values[place.y * from->steps[0] + place.x * from->steps[1] + c * from->steps[2]] - from->zero_point;
}

void add(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    struct operand a = operand(layer, arena, 0), b = operand(layer, arena, 1);
    int8_t *out = arena + layer->output_offset + part->pixel * layer->out_c;
    const int32_t *multiplier = layer->multiplier;
    const int8_t *shift = layer->shift;
    struct place place = place_of(layer, part->pixel);
    for (uint32_t pixel = part->pixel; pixel < part->pixel_end; pixel++, out += layer->out_c) {
        for (uint32_t c = part->channel; c < part->channel_end; c++) {
            int32_t sum = common_scale(value_at(&a, place, c), multiplier[0], shift[0]) +
                          layer->sign * common_scale(value_at(&b, place, c), multiplier[1], shift[1]);
            sum = requantise(sum, multiplier[2], shift[2]);
            out[c] = clamp(sum + layer->output_zero_point, layer->act_min, layer->act_max);
        }
        next_place(layer, &place);
    }
}

void proven_add(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    struct run run = run_of(layer, part);
    struct sum sum = {
        .a = arena + layer->input_offset + run.begin,
        .b = arena + layer->input2_offset + run.begin,
        .out = arena + layer->output_offset + run.begin,
        .count = run.end - run.begin,
        .m1 = layer->multiplier[0],
        .m2 = layer->multiplier[1],
        .c = layer->multiplier[2],
        .shift = layer->once,
        .low = layer->act_min,
        .high = layer->act_max,
    };
    interpolator_set(sum.shift, sum.low, sum.high);
    sum_values(&sum);
}

void mul(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    struct operand a = operand(layer, arena, 0), b = operand(layer, arena, 1);
    int8_t *out = arena + layer->output_offset + part->pixel * layer->out_c;
    struct place place = place_of(layer, part->pixel);
    for (uint32_t pixel = part->pixel; pixel < part->pixel_end; pixel++, out += layer->out_c) {
        for (uint32_t c = part->channel; c < part->channel_end; c++) {
            int32_t product = value_at(&a, place, c) * value_at(&b, place, c);
            product = requantise(product, layer->multiplier[0], layer->shift[0]);
            out[c] = clamp(product + layer->output_zero_point, layer->act_min, layer->act_max);
        }
        next_place(layer, &place);
    }
}
