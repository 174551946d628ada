/* Packs pixels in pairs (pair.h): value of the first + (value of the second << 16), a word each.
 *
 * pack.c is the portable form, pack_m0.S the same in Cortex-M0+ assembly. */
#ifndef CRUSTWATCH_PACK_H
#define CRUSTWATCH_PACK_H

#include <stdint.h>

/* Rows of values, and where their words go. */
struct pack_rows {
    int32_t *out;
    const int8_t *first; /* first row, of the first pixels */
    int32_t distance;    /* bytes from a first pixel to its second */
    uint32_t step;       /* bytes from value to value of a row */
    uint32_t count;      /* values of a row, >= 1 */
    uint32_t rows;       /* >= 1 */
    uint32_t pitch;      /* words from row to row of `out` */
    uint32_t line;       /* bytes from row to row of the values */
};

/* Both pixels of each pair. */
void pack_both(const struct pack_rows *rows);

/* One pixel of each pair, of one row; the other one is the same everywhere: words (x << shift) + other. */
void pack_one(const struct pack_rows *row, uint32_t shift, int32_t other);

#endif
