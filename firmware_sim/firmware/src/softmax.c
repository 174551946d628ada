/* SOFTMAX on a table of exponentials (firmware_sim/compiler/fixed_point.py), as
 * tensorflow/lite/kernels/internal/reference/softmax.h and gemmlowp's fixedpoint.h compute it. */
#include "kernels.h"
#include "requantise.h"

#define SUM_SHIFT 12 /* exponentials are added in Q12 */
#define OUTPUT_SHIFT 23 /* from Q0 to 1/256 */

/* SaturatingRoundingDoublingHighMul of any two numbers. */
static int32_t product_high(int32_t a, int32_t b)
{
    if (a == INT32_MIN && b == INT32_MIN)
        return INT32_MAX;
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

static int32_t shifted_left(int32_t x, uint32_t n)
{
    int64_t wide = (int64_t)((uint64_t)(int64_t)x << n);
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* x / 2^n, ties away from zero, n <= 31. */
static int32_t divided(int32_t x, uint32_t n)
{
    int32_t mask = (int32_t)((1u << n) - 1u), threshold = (mask >> 1) + (x < 0);
    return (x >> n) + ((x & mask) > threshold);
}

/* 1 / (1 + x) in Q0 for 0 <= x < 1 in Q0: three Newton steps from 48/17 - 32/17 d. */
static int32_t one_over_one_plus(int32_t x)
{
    int32_t half_denominator = (int32_t)(((uint32_t)x + 0x80000000u) >> 1);
    int32_t found = 1515870810 + product_high(half_denominator, -1010580540);
    for (uint32_t step = 0; step < 3; step++) {
        int32_t rest = (1 << 29) - product_high(half_denominator, found);
        found += shifted_left(product_high(found, rest), 2);
    }
    return shifted_left(found, 1);
}

static uint32_t leading_zeros(uint32_t x)
{
    uint32_t count = 0;
    for (; !(x & 0x80000000u); x <<= 1)
        count++;
    return count;
}

static void softmax_row(const struct nn_layer *layer, const int8_t *x, int8_t *out)
{
    const int32_t *exponentials = layer->bias;
    int32_t largest = INT8_MIN, sum = 0;
    for (uint32_t i = 0; i < layer->in_c; i++)
        largest = x[i] > largest ? x[i] : largest;
    for (uint32_t i = 0; i < layer->in_c; i++)
        sum += divided(exponentials[largest - x[i]], SUM_SHIFT);
    uint32_t headroom = leading_zeros((uint32_t)sum);
    int32_t inverse = one_over_one_plus((int32_t)(((uint32_t)sum << headroom) - 0x80000000u));
    uint32_t right = SUM_SHIFT - headroom + OUTPUT_SHIFT;
    for (uint32_t i = 0; i < layer->in_c; i++) {
        /* far below the largest they are 0: no test for it, so the cycles do not follow the values */
        int32_t value = divided(product_high(inverse, exponentials[largest - x[i]]), right);
        out[i] = clamp(value + INT8_MIN, INT8_MIN, INT8_MAX);
    }
}

void softmax(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    int8_t *out = arena + layer->output_offset;
    uint32_t row = layer->in_c;
    for (uint32_t i = part->pixel; i < part->pixel_end; i++)
        softmax_row(layer, input + i * row, out + i * row);
}
