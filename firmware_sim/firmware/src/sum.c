#include "sum.h"

#include "interpolator.h"

void sum_values(const struct sum *sum)
{
    for (uint32_t i = 0; i < sum->count; i++) {
        int32_t value = sum->a[i] * sum->m1 + sum->b[i] * sum->m2 + sum->c;
        sum->out[i] = (int8_t)interpolator_apply(value, sum->shift, sum->low, sum->high);
    }
}
