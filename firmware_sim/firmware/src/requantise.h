/* TFLite's requantisation of an int32 accumulator, exact, in 32-bit arithmetic.
 *
 * Source: tensorflow/lite/kernels/internal/common.h, MultiplyByQuantizedMultiplier (double rounding form). */
#ifndef CRUSTWATCH_REQUANTISE_H
#define CRUSTWATCH_REQUANTISE_H

#include <stdint.h>

/* (a * q + 2^30) >> 31 for 0 <= q < 2^31, without the 64-bit product, which costs a call on this core.
 *
 * It is SaturatingRoundingDoublingHighMul: that one adds 2^30 or 1 - 2^30 and truncates toward zero, which is the
 * same number; its saturation needs q = -2^31. With a = ah * 2^16 + al and q = qh * 2^16 + ql, no term below leaves
 * 32 bits: |ah * ql| + (al * ql >> 16) < 2^31, and al * qh + 2^16 + 2^14 < 2^32. */
static inline int32_t high_multiply(int32_t a, int32_t q)
{
    uint32_t al = (uint32_t)a & 0xffffu, ql = (uint32_t)q & 0xffffu, qh = (uint32_t)q >> 16;
    int32_t ah = a >> 16;
    int32_t middle = ah * (int32_t)ql + (int32_t)((al * ql) >> 16);
    uint32_t low = ((uint32_t)middle & 0xffffu) + al * qh + 0x4000u; /* in units of 2^16 */
    uint32_t high = (uint32_t)(ah * (int32_t)qh + (middle >> 16));
    return (int32_t)(high * 2u + (low >> 15));
}

/* x / 2^n rounded to nearest, ties away from zero, for n >= 1 and |x| < 2^31 - 1 (RoundingDivideByPOT). */
static inline int32_t rounding_shift(int32_t x, uint32_t n)
{
    return (((x + (x >> 31)) >> (n - 1)) + 1) >> 1;
}

/* RDBPOT(SRDHM(x << max(shift, 0), multiplier), max(-shift, 0)). */
static inline int32_t requantise(int32_t x, int32_t multiplier, int32_t shift)
{
    if (shift < 0)
        return rounding_shift(high_multiply(x, multiplier), (uint32_t)-shift);
    return high_multiply((int32_t)((uint32_t)x << shift), multiplier);
}

/* (x * multiplier + half) >> (31 - shift), in 64 bits, for shift -31 to 30: rounded once. */
static inline int32_t requantise_once(int32_t x, int32_t multiplier, int32_t shift)
{
    return (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << (30 - shift))) >> (31 - shift));
}

static inline int8_t clamp(int32_t value, int32_t low, int32_t high)
{
    return (int8_t)(value < low ? low : value > high ? high : value);
}

/* What turns one output channel's sums into activations. */
struct requantisation {
    int32_t bias; /* added to the sum */
    int32_t multiplier;
    int32_t shift;
    int32_t zero_point;
    int32_t low, high; /* the activation's range */
};

/* out[i * step] = clamp(requantise(bias + sums[i], multiplier, shift) + zero_point, low, high) for i < count.
 * requantise_sums_right wants shift < 0, which nearly all channels of all networks have, and count >= 1; on the chip it
 * is in requantise_m0.S. */
void requantise_sums(const struct requantisation *channel, const int32_t *sums, uint32_t count, int8_t *out,
                     uint32_t step);
void requantise_sums_right(const struct requantisation *channel, const int32_t *sums, uint32_t count, int8_t *out,
                           uint32_t step);

#endif
