/* INTERP1 as the last step of requantisation: an arithmetic shift, then a clamp. */
#ifndef CRUSTWATCH_INTERPOLATOR_H
#define CRUSTWATCH_INTERPOLATOR_H

#include <stdint.h>

#ifdef __ARM_ARCH_6M__

#include "registers.h"

/* What is written to ACCUM0 reads as clamp(value >> shift, low, high) at PEEK_LANE0, on the core that sets it. */
static inline void interpolator_set(uint32_t shift, int32_t low, int32_t high)
{
    REGISTER(SIO_INTERP1_CTRL_LANE0) = INTERP_SHIFT(shift) | INTERP_MASK_MSB(31u - shift) | INTERP_SIGNED | INTERP_CLAMP;
    REGISTER(SIO_INTERP1_BASE0) = (uint32_t)low;
    REGISTER(SIO_INTERP1_BASE1) = (uint32_t)high;
}

/* clamp(value >> shift, low, high), with what interpolator_set was told. */
static inline int32_t interpolator_apply(int32_t value, uint32_t shift, int32_t low, int32_t high)
{
    (void)shift, (void)low, (void)high;
    REGISTER(SIO_INTERP1_ACCUM0) = (uint32_t)value;
    return (int32_t)REGISTER(SIO_INTERP1_PEEK_LANE0);
}

#else

static inline int32_t interpolator_apply(int32_t value, uint32_t shift, int32_t low, int32_t high)
{
    value >>= shift;
    return value < low ? low : value > high ? high : value;
}

static inline void interpolator_set(uint32_t shift, int32_t low, int32_t high)
{
    (void)shift, (void)low, (void)high; /* the C twins do it themselves */
}

#endif

#endif
