#include "requantise.h"

static void each(const struct requantisation *channel, const int32_t *sums, uint32_t count, int8_t *out, uint32_t step)
{
    for (uint32_t i = 0; i < count; i++, out += step) {
        int32_t x = requantise(channel->bias + sums[i], channel->multiplier, channel->shift);
        *out = clamp(x + channel->zero_point, channel->low, channel->high);
    }
}

void requantise_sums(const struct requantisation *channel, const int32_t *sums, uint32_t count, int8_t *out,
                     uint32_t step)
{
    if (channel->shift < 0 && count != 0)
        requantise_sums_right(channel, sums, count, out, step);
    else
        each(channel, sums, count, out, step);
}

#ifndef __ARM_ARCH_6M__ /* there it is in requantise_m0.S */
void requantise_sums_right(const struct requantisation *channel, const int32_t *sums, uint32_t count, int8_t *out,
                           uint32_t step)
{
    each(channel, sums, count, out, step);
}
#endif
