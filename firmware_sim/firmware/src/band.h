/* Bands of packed rows: output rows r and r + half are a pair of pixels in every column (pair.h), so the input rows of
 * some output rows are packed once, padding included, and windows slide over them without a test for the border. */
#ifndef CRUSTWATCH_BAND_H
#define CRUSTWATCH_BAND_H

#include <stdbool.h>

#include "nn.h"
#include "pack.h"

/* Rows of a band that are packed alike: which of both pixels' rows lie inside the input. */
struct band_run {
    bool first, second;
    struct pack_rows rows; /* but for `first`, which is `offset` bytes behind the input's [0][0] */
    uint32_t offset;
};
#define BAND_MAX_RUNS 6u

struct band {
    const struct nn_layer *layer;
    int32_t *words;      /* the work area */
    uint32_t values;     /* of a pixel, packed beside each other: 1 or in_c */
    uint32_t pitch;      /* words of a packed row */
    uint32_t stop;       /* first pixels' output rows end before it */
    uint32_t end;        /* second pixels' output rows from here on do not exist */
    uint32_t half;       /* rows between both pixels */
    uint32_t row, pairs; /* first output row of the band, and how many */
    uint32_t down, across; /* packed rows and values from window to window */
    uint32_t most;       /* pairs of rows whose input rows fit the work area */
    struct band_run runs[BAND_MAX_RUNS];
    uint32_t run_count;
};

/* Output rows of first and of second pixels. */
struct band_rows {
    uint32_t first, stop; /* first pixels: from `first` to before `stop` */
    uint32_t half, end;   /* the second ones are `half` rows below, if that is before `end` */
};

/* Both halves of the output rows from `first` to before `end`. */
static inline struct band_rows band_halves(uint32_t first, uint32_t end)
{
    uint32_t half = (end - first + 1) / 2;
    return (struct band_rows){first, first + half, half, end};
}

/* Fills the `count` words of the work area with the zero point, which stays beside the input. */
struct band band_of(const struct nn_layer *layer, uint32_t values, struct band_rows rows, int32_t *words,
                    uint32_t count);

/* Whether there are rows left from `band->row` on; then the band's are known. The next begins at row + pairs. */
bool band_begin(struct band *band);

/* Pack the band of the values at `input`, [0][0] of its first value. */
void band_pack(struct band *band, const int8_t *input);

/* How many of the band's pairs have a second row. */
uint32_t band_both(const struct band *band);

#endif
