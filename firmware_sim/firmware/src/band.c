#include "band.h"

#include <stddef.h>

#include "pair.h"

/* Windows of one pixel: only those that a stride does not skip are packed. They have no padding. */
static bool is_pointwise(const struct nn_layer *layer)
{
    return layer->kernel_h == 1 && layer->kernel_w == 1;
}

struct band band_of(const struct nn_layer *layer, uint32_t values, struct band_rows of, int32_t *words,
                    uint32_t count)
{
    bool points = is_pointwise(layer);
    uint32_t down = points ? 1 : layer->stride_h, across = points ? 1 : layer->stride_w;
    uint32_t pitch = ((layer->out_w - 1u) * across + layer->kernel_w) * values;
    uint32_t fitting = count / pitch, rows = (of.stop - of.first - 1) * down + layer->kernel_h;
    int32_t zero = pair(layer->input_zero_point, layer->input_zero_point);
    uint32_t used = pitch * (rows < fitting ? rows : fitting);
    if (!layer->packed)
        for (uint32_t i = 0; i < used; i++)
            words[i] = zero;
    return (struct band){
        .layer = layer,
        .words = words,
        .values = values,
        .pitch = pitch,
        .stop = of.stop,
        .end = of.end,
        .half = of.half,
        .row = of.first,
        .down = down,
        .across = across * values,
        .most = (fitting - layer->kernel_h) / down + 1,
    };
}

static bool is_inside(const struct nn_layer *layer, int32_t y)
{
    return y >= 0 && y < layer->in_h;
}

/* Rows of the output that a stride makes of the input's pixels, each a run of its own. */
static void find_points(struct band *band)
{
    const struct nn_layer *layer = band->layer;
    uint32_t line = (uint32_t)layer->in_w * layer->in_c, row = band->row * layer->stride_h;
    bool whole = layer->stride_w == 1; /* a row's pixels lie one behind the other */
    band->runs[0] = (struct band_run){
        .rows = {
            .out = band->words,
            .distance = (int32_t)(band->half * layer->stride_h * line),
            .step = 1,
            .count = whole ? band->pitch : layer->in_c,
            .rows = whole ? 1 : layer->out_w,
            .pitch = layer->in_c,
            .line = (uint32_t)layer->stride_w * layer->in_c,
        },
        .offset = row * line,
    };
}

/* The band's rows, those that are packed alike together. */
static void find_runs(struct band *band)
{
    const struct nn_layer *layer = band->layer;
    uint32_t values = band->values, line = (uint32_t)layer->in_w * layer->in_c, left = layer->pad_left * values;
    uint32_t inside = layer->in_w * values, room = band->pitch - left;
    uint32_t rows = (band->pairs - 1) * layer->stride_h + layer->kernel_h;
    int32_t top = (int32_t)(band->row * layer->stride_h) - layer->pad_top;
    int32_t distance = (int32_t)(band->half * layer->stride_h);
    struct band_run *last = NULL;
    band->run_count = 0;
    for (uint32_t row = 0; row < rows; row++) {
        int32_t y = top + (int32_t)row;
        bool first = is_inside(layer, y), second = is_inside(layer, y + distance);
        if (last != NULL && last->first == first && last->second == second) {
            last->rows.rows++;
            continue;
        }
        last = &band->runs[band->run_count++];
        *last = (struct band_run){
            .first = first,
            .second = second,
            .rows = {
                .out = band->words + row * band->pitch + left,
                .distance = distance * (int32_t)line,
                .step = values == 1 ? layer->in_c : 1,
                .count = room < inside ? room : inside,
                .rows = 1,
                .pitch = band->pitch,
                .line = line,
            },
            .offset = first ? (uint32_t)y * line : second ? (uint32_t)(y + distance) * line : 0,
        };
    }
}

bool band_begin(struct band *band)
{
    if (band->row >= band->stop)
        return false;
    band->pairs = band->stop - band->row < band->most ? band->stop - band->row : band->most;
    if (is_pointwise(band->layer))
        find_points(band);
    else
        find_runs(band);
    return true;
}

/* One row of the output a call. */
static void pack_points(const struct band *band, const int8_t *input)
{
    const struct nn_layer *layer = band->layer;
    struct pack_rows pixels = band->runs[0].rows;
    uint32_t step = layer->stride_h * (uint32_t)layer->in_w * layer->in_c, both = band_both(band);
    pixels.first = input + band->runs[0].offset;
    for (uint32_t i = 0; i < band->pairs; i++, pixels.out += band->pitch, pixels.first += step) {
        if (i == both)
            pixels.distance = 0;
        pack_both(&pixels);
    }
}

/* Rows of which not both pixels lie inside. */
static void pack_border(const struct band_run *run, int32_t zero)
{
    struct pack_rows row = run->rows;
    for (uint32_t i = 0; i < run->rows.rows; i++, row.out += row.pitch, row.first += row.line) {
        if (run->first || run->second) {
            pack_one(&row, run->first ? 0 : 16, run->first ? pair(0, zero) : zero);
            continue;
        }
        for (uint32_t x = 0; x < row.count; x++)
            row.out[x] = pair(zero, zero);
    }
}

void band_pack(struct band *band, const int8_t *input)
{
    if (is_pointwise(band->layer)) {
        pack_points(band, input);
        return;
    }
    for (struct band_run *run = band->runs; run < band->runs + band->run_count; run++) {
        run->rows.first = input + run->offset;
        if (run->first && run->second)
            pack_both(&run->rows);
        else
            pack_border(run, band->layer->input_zero_point);
    }
}

uint32_t band_both(const struct band *band)
{
    uint32_t below = band->row + band->half;
    uint32_t left = below < band->end ? band->end - below : 0;
    return left < band->pairs ? left : band->pairs;
}
