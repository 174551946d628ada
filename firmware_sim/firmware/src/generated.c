/* CONV_2D by generated code: input is packed in pairs, then the code runs over each pair of pixels. */
#include <stddef.h>
#include <string.h>

#include "band.h"
#include "conv.h"
#include "interpolator.h"
#include "kernels.h"
#include "overlay.h"
#include "pair.h"
#include "requantise.h"

/* Words from a window to that of the next pair. */
static uint32_t window_step(const struct nn_layer *layer)
{
    if (layer->generated->pitch) /* bands, and planes */
        return layer->kernel_h == 1 && layer->kernel_w == 1 ? layer->in_c : (uint32_t)layer->stride_w * layer->in_c;
    return (uint32_t)layer->kernel_h * layer->kernel_w * layer->in_c;
}

#ifdef __ARM_ARCH_6M__

static nn_code *code_of(const struct nn_layer *layer, const struct nn_part *part)
{
    return overlay_place(layer, layer->generated->code[layer->by_channels ? part->core : 0]);
}

static void run_code(const struct nn_layer *layer, const struct nn_part *part, nn_code *code, const int32_t *window,
                     int8_t *first, int8_t *second, uint32_t count)
{
    (void)layer;
    code(window, first, second, part->work->sums, count);
}

#else

/* f(x) of prover.py. */
static int32_t form_of(const struct nn_form *form, int32_t x)
{
    int32_t value = x * form->m;
    return form->form % 2 ? value : value + (((x >> form->a) * form->k) >> form->s);
}

static int8_t twin_output(const struct nn_layer *layer, const struct nn_form *form, int32_t x)
{
    int32_t value = form_of(form, x) + form->b;
    if (form->form > 2) {
        value -= (value < 0) << form->d;
        value += layer->generated->after;
    }
    return clamp(value >> layer->generated->shift, layer->act_min, layer->act_max);
}

static nn_code *code_of(const struct nn_layer *layer, const struct nn_part *part)
{
    (void)layer, (void)part;
    return NULL;
}

static void twin_pair(const struct nn_layer *layer, const struct nn_part *part, const int32_t *window, int8_t *first,
                      int8_t *second)
{
    uint32_t row = (uint32_t)layer->kernel_w * layer->in_c, taps = layer->kernel_h * row;
    uint32_t pitch = layer->generated->pitch ? layer->generated->pitch : row;
    const int8_t *w = layer->generated->weights + part->channel * taps;
    int32_t *exact = part->work->sums;
    for (uint32_t c = part->channel; c < part->channel_end; c++, w += taps) {
        int32_t low = 0, high = 0;
        for (uint32_t i = 0; i < taps; i++) {
            int32_t word = window[i / row * pitch + i % row], x = (int16_t)(word & 0xffff);
            low += w[i] * x;
            high += w[i] * ((word - x) >> 16);
        }
        const struct nn_form *form = &layer->generated->forms[c];
        if (form->form == 0) {
            *exact++ = low;
            *exact++ = high;
            continue;
        }
        const struct nn_plane *plane = &layer->generated->plane;
        if (plane->words) {
            int32_t word = pair(twin_output(layer, form, low), twin_output(layer, form, high));
            if (layer->generated->plane_of[c] >= 0)
                memcpy(first + 4 * plane->words * (uint32_t)layer->generated->plane_of[c], &word, 4);
            continue;
        }
        first[c] = twin_output(layer, form, low);
        second[c] = twin_output(layer, form, high);
    }
}

/* The plain C twin of the generated code: pixel by pixel, no pairs. */
static void run_code(const struct nn_layer *layer, const struct nn_part *part, nn_code *code, const int32_t *window,
                     int8_t *first, int8_t *second, uint32_t count)
{
    uint32_t step = window_step(layer);
    (void)code;
    uint32_t bytes = layer->generated->plane.words ? 4 : layer->out_c;
    for (; count; count--, window += step, first += bytes, second = second ? second + bytes : NULL)
        twin_pair(layer, part, window, first, second);
}

#endif

/* The part's channels without a proven cheap form. */
static void finish_exact(const struct nn_layer *layer, const struct nn_part *part, int8_t *first, int8_t *second)
{
    const struct nn_generated *generated = layer->generated;
    const int32_t *sums = part->work->sums;
    for (uint32_t i = 0; i < generated->exact_count; i++) {
        uint32_t c = generated->exact_channels[i];
        if (c < part->channel || c >= part->channel_end)
            continue;
        int8_t *out[2] = {first + c, second + c};
        for (uint32_t pixel = 0; pixel < 2; pixel++) {
            int32_t sum = layer->bias[c] + sums[pixel], multiplier = layer->multiplier[c], shift = layer->shift[c];
            sum = layer->once ? requantise_once(sum, multiplier, shift) : requantise(sum, multiplier, shift);
            *out[pixel] = clamp(sum + layer->output_zero_point, layer->act_min, layer->act_max);
        }
        sums += 2;
    }
}

/* `count` pairs of pixels, and what the code leaves. */
static void run_pairs(const struct nn_layer *layer, const struct nn_part *part, nn_code *code, const int32_t *window,
                      int8_t *first, int8_t *second, uint32_t count)
{
    if (layer->generated->exact_count == 0 && count) {
        run_code(layer, part, code, window, first, second, count);
        return;
    }
    for (; count; count--, window += window_step(layer), first += layer->out_c, second += layer->out_c) {
        run_code(layer, part, code, window, first, second, 1);
        finish_exact(layer, part, first, second);
    }
}

/* All windows of one kernel row each, or pixels that make no pairs of rows: packed one by one. */
static void run_tiles(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const int8_t *input = arena + layer->input_offset;
    uint32_t size = (uint32_t)layer->kernel_h * layer->kernel_w * layer->in_c, channels = layer->out_c;
    uint32_t pixel = part->pixel, left = part->pixel_end - pixel, most = part->work->count / size;
    int8_t *out = arena + layer->output_offset + pixel * channels;
    int32_t *words = part->work->words;
    nn_code *code = code_of(layer, part);
    while (left) {
        uint32_t pairs = (left + 1) / 2 < most ? (left + 1) / 2 : most;
        uint32_t count = left < 2 * pairs ? left : 2 * pairs;
        if (!layer->packed)
            conv_pack_tile(layer, input, pixel, pairs, count, size, words);
        uint32_t both = count / 2; /* an odd pixel is a pair with itself */
        run_pairs(layer, part, code, words, out, out + pairs * channels, both);
        if (both < pairs)
            run_pairs(layer, part, code, words + both * size, out + both * channels, out + both * channels, 1);
        pixel += count;
        left -= count;
        out += count * channels;
    }
}

/* Windows that slide over packed rows; the part begins and ends with a row. */
static void run_bands(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    uint32_t width = layer->out_w, channels = layer->out_c;
    /* Where the outputs of second pixels go that do not exist: behind the packed rows. */
    uint32_t count = part->work->count - (channels + 3) / 4;
    int32_t *words = part->work->words;
    int8_t *nowhere = (int8_t *)(words + count);
    struct band_rows halves = band_halves(part->pixel / width, part->pixel_end / width);
    struct band band = band_of(layer, layer->in_c, halves, words, count);
    nn_code *code = code_of(layer, part);
    for (; band_begin(&band); band.row += band.pairs) {
        const int32_t *row = words;
        uint32_t both = band_both(&band);
        int8_t *first = arena + layer->output_offset + band.row * width * channels;
        if (!layer->packed)
            band_pack(&band, arena + layer->input_offset);
        for (uint32_t i = 0; i < band.pairs; i++, row += band.down * band.pitch, first += width * channels) {
            if (i < both) {
                run_pairs(layer, part, code, row, first, first + band.half * width * channels, width);
                continue;
            }
            for (uint32_t x = 0; x < width; x++)
                run_pairs(layer, part, code, row + x * band.across, first + x * channels, nowhere, 1);
        }
    }
}

/* One row of pairs of pixels, `y` the first one's; `row` holds its windows. A second row that does not exist gives words that
 * the layer behind corrects, or bytes that go nowhere. */
static void run_row(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part, const int32_t *row,
                    uint32_t y, uint32_t distance)
{
    const struct nn_plane *plane = &layer->generated->plane;
    uint32_t width = layer->out_w, channels = layer->out_c, step = window_step(layer);
    nn_code *code = code_of(layer, part);
    int8_t *out = arena + layer->output_offset;
    if (plane->words) {
        run_code(layer, part, code, row, out + 4 * (plane->first + y * plane->pitch), NULL, width);
        return;
    }
    out += y * width * channels;
    if (y + distance < layer->out_h) {
        run_code(layer, part, code, row, out, out + distance * width * channels, width);
        return;
    }
    for (uint32_t x = 0; x < width; x++)
        run_code(layer, part, code, row + x * step, out + x * channels, (int8_t *)part->work->words, 1);
}

/* Input or output, or both, in pairs of rows. */
static void run_paired(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    const struct nn_generated *generated = layer->generated;
    uint32_t width = layer->out_w, stop = part->pixel_end / width;
    uint32_t distance = generated->paired ? generated->paired : generated->plane.distance;
    uint32_t most = distance < layer->out_h ? distance : layer->out_h;
    struct band_rows rows = {part->pixel / width, stop < most ? stop : most, distance, layer->out_h};
    if (generated->paired) {
        const int32_t *row = (const int32_t *)(const void *)(arena + layer->input_offset);
        for (uint32_t y = rows.first; y < rows.stop; y++)
            run_row(layer, arena, part, row + y * width * layer->in_c, y, distance);
        return;
    }
    struct band band = band_of(layer, layer->in_c, rows, part->work->words, part->work->count);
    for (; band_begin(&band); band.row += band.pairs) {
        if (!layer->packed)
            band_pack(&band, arena + layer->input_offset);
        for (uint32_t i = 0; i < band.pairs; i++)
            run_row(layer, arena, part, band.words + i * band.down * band.pitch, band.row + i, distance);
    }
}

void generated_conv_2d(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part)
{
    interpolator_set(layer->generated->shift, layer->act_min, layer->act_max);
    if (layer->generated->plane.words || layer->generated->paired)
        run_paired(layer, arena, part);
    else if (layer->generated->pitch)
        run_bands(layer, arena, part);
    else
        run_tiles(layer, arena, part);
}
