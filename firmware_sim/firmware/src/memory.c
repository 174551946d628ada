/* The two functions that the compiler itself calls; there is no C library. */
#include <stddef.h>
#include <stdint.h>

typedef uint32_t __attribute__((may_alias)) word;

void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    if ((((uintptr_t)out | (uintptr_t)in) & 3) == 0) {
        for (; count >= 4; count -= 4, out += 4, in += 4)
            *(word *)(void *)out = *(const word *)(const void *)in;
    }
    for (; count >= 4; count -= 4, out += 4, in += 4) {
        out[0] = in[0];
        out[1] = in[1];
        out[2] = in[2];
        out[3] = in[3];
    }
    while (count--)
        *out++ = *in++;
    return to;
}

void *memset(void *to, int value, size_t count)
{
    uint8_t *out = to;
    while (count && ((uintptr_t)out & 3)) {
        *out++ = (uint8_t)value;
        count--;
    }
    uint32_t four = (uint8_t)value * 0x01010101u;
    for (; count >= 4; count -= 4, out += 4)
        *(word *)(void *)out = four;
    while (count--)
        *out++ = (uint8_t)value;
    return to;
}
