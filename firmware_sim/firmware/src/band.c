#include "band.h"

#include <stddef.h>

#include "pack.h"
#include "pair.h"

/* Windows of one pixel: only those that a stride does not skip are packed. They have no padding. */
static bool is_pointwise(const struct nn_layer *layer)
{
    return layer->kernel_h == 1 && layer->kernel_w == 1;
}

struct band band_of(const struct nn_layer *layer, uint32_t values, uint32_t first, uint32_t end, int32_t *words,
                    uint32_t count)
{
    bool points = is_pointwise(layer);
    uint32_t down = points ? 1 : layer->stride_h, across = points ? 1 : layer->stride_w;
    uint32_t pitch = ((layer->out_w - 1u) * across + layer->kernel_w) * values, half = (end - first + 1) / 2;
    uint32_t fitting = count / pitch, rows = (half - 1) * down + layer->kernel_h;
    int32_t zero = pair(layer->input_zero_point, layer->input_zero_point);
    uint32_t used = pitch * (rows < fitting ? rows : fitting);
    if (!layer->packed)
        for (uint32_t i = 0; i < used; i++)
            words[i] = zero;
    return (struct band){
        .layer = layer,
        .values = values,
        .pitch = pitch,
        .first = first,
        .end = end,
        .half = half,
        .row = first,
        .down = down,
        .across = across * values,
        .most = (fitting - layer->kernel_h) / down + 1,
    };
}

static bool is_inside(const struct nn_layer *layer, int32_t y)
{
    return y >= 0 && y < layer->in_h;
}

bool band_begin(struct band *band)
{
    const struct nn_layer *layer = band->layer;
    uint32_t stop = band->first + band->half;
    if (band->row >= stop)
        return false;
    band->pairs = stop - band->row < band->most ? stop - band->row : band->most;
    band->y = (int32_t)(band->row * layer->stride_h) - layer->pad_top;
    band->run_count = 0;
    int32_t distance = (int32_t)(band->half * layer->stride_h);
    uint32_t rows = (band->pairs - 1) * layer->stride_h + layer->kernel_h;
    struct band_run *last = NULL;
    for (uint32_t row = 0; row < rows; row++) {
        int32_t y = band->y + (int32_t)row;
        bool first = is_inside(layer, y), second = is_inside(layer, y + distance);
        if (last != NULL && last->first == first && last->second == second) {
            last->rows++;
            continue;
        }
        last = &band->runs[band->run_count++];
        *last = (struct band_run){first, second, row, 1};
    }
    return true;
}

/* Of a row of the output a call. */
static void pack_points(const struct band *band, const int8_t *input, int32_t *words)
{
    const struct nn_layer *layer = band->layer;
    uint32_t line = (uint32_t)layer->in_w * layer->in_c, both = band_both(band);
    struct pack_rows pixels = {
        .out = words,
        .first = input + (uint32_t)band->y * line,
        .distance = (int32_t)(band->half * layer->stride_h * line),
        .step = 1,
        .count = layer->in_c,
        .rows = layer->out_w,
        .pitch = layer->in_c,
        .line = (uint32_t)layer->stride_w * layer->in_c,
    };
    for (uint32_t i = 0; i < band->pairs; i++, pixels.out += band->pitch, pixels.first += layer->stride_h * line) {
        if (i == both)
            pixels.distance = 0;
        pack_both(&pixels);
    }
}

void band_pack(const struct band *band, const int8_t *input, int32_t *words)
{
    const struct nn_layer *layer = band->layer;
    uint32_t values = band->values, line = (uint32_t)layer->in_w * layer->in_c, left = layer->pad_left * values;
    uint32_t inside = layer->in_w * values, room = band->pitch - left;
    int32_t zero = layer->input_zero_point, distance = (int32_t)(band->half * layer->stride_h);
    struct pack_rows rows = {
        .step = values == 1 ? layer->in_c : 1,
        .count = room < inside ? room : inside,
        .pitch = band->pitch,
        .line = line,
        .distance = distance * (int32_t)line,
    };
    if (is_pointwise(layer)) {
        pack_points(band, input, words);
        return;
    }
    for (uint32_t i = 0; i < band->run_count; i++) {
        const struct band_run *run = &band->runs[i];
        int32_t y = band->y + (int32_t)run->row;
        rows.out = words + run->row * band->pitch + left;
        if (run->first && run->second) {
            rows.rows = run->rows;
            rows.first = input + (uint32_t)y * line;
            pack_both(&rows);
            continue;
        }
        for (uint32_t row = 0; row < run->rows; row++, y++, rows.out += band->pitch) {
            if (!run->first && !run->second) {
                for (uint32_t x = 0; x < rows.count; x++)
                    rows.out[x] = pair(zero, zero);
                continue;
            }
            rows.first = input + (uint32_t)(run->first ? y : y + distance) * line;
            pack_one(&rows, run->first ? 0 : 16, run->first ? pair(0, zero) : zero);
        }
    }
}

uint32_t band_both(const struct band *band)
{
    uint32_t below = band->row + band->half;
    uint32_t left = below < band->end ? band->end - below : 0;
    return left < band->pairs ? left : band->pairs;
}
