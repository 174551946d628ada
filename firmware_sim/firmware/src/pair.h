/* The inner loops of the convolutions: two pixels in one word, so that one multiplication by a weight serves both.
 *
 * A pair is value of the first + (value of the second << 16). Times a weight, its low half is a signed 16-bit number
 * that borrows from the high half; it stays one while at most two products of |x| <= 128 and |w| <= 127 are added
 * (2 * 128 * 127 = 32,512). So after every two products the sum moves into two 32-bit accumulators: `whole`, of the
 * pairs as they are, modulo 2^32; and `second`, of the high halves, each rounded so that the borrow is given back. In
 * the end second is the second pixel's sum and whole - (second << 16) the first's.
 *
 * pair.c is the portable form; pair_m0.S the same in Cortex-M0+ assembly, with cycles counted there. */
#ifndef CRUSTWATCH_PAIR_H
#define CRUSTWATCH_PAIR_H

#include <stdint.h>

#include "nn.h"

static inline int32_t pair(int32_t first, int32_t second)
{
    return (int32_t)((uint32_t)first + ((uint32_t)second << 16));
}

/* For each of `pairs` >= 1 windows of `size` words at `x`: its dot product with the weights `w`, int8[size]; `size` is a
 * multiple of 4 and `w` aligned to 4. sums[i] is the first pixel's sum of window i, sums[pairs + i] the second's. */
void pair_dots(const int32_t *x, const int8_t *w, uint32_t size, uint32_t pairs, int32_t *sums);

/* Rows of packed pixels under a sliding 3x3 window. */
struct pair_rows {
    const int32_t *x;  /* first of three rows */
    uint32_t width;    /* words from one row to the next */
    uint32_t stride;   /* words from one window to the next */
    const int32_t *w;  /* weights, [3][3] */
    uint32_t distance; /* sums from a first pixel's to its second's */
};

/* The sums of `pairs` >= 1 windows: sums[i] of the first pixel of window i, sums[distance + i] of the second. */
void pair_slide_3x3(const struct pair_rows *rows, uint32_t pairs, int32_t *sums);

#endif
