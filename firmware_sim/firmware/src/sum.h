/* ADD and SUB in the compiler's cheap form (firmware_sim/compiler/prover.py): clamp((m1 * a + m2 * b + c) >> shift).
 *
 * sum.c is the portable form, sum_m0.S the same in Cortex-M0+ assembly, where INTERP1 has been told shift and clamp. */
#ifndef CRUSTWATCH_SUM_H
#define CRUSTWATCH_SUM_H

#include <stdint.h>

struct sum {
    const int8_t *a, *b;
    int8_t *out; /* may be a or b */
    uint32_t count;
    int32_t m1, m2, c;
    uint32_t shift;
    int32_t low, high;
};

void sum_values(const struct sum *sum);

#endif
