/* Walks over the pixels of a part, and over its values where they follow each other. */
#ifndef CRUSTWATCH_PART_H
#define CRUSTWATCH_PART_H

#include "nn.h"

struct place {
    uint32_t y, x;
};

static inline struct place place_of(const struct nn_layer *layer, uint32_t pixel)
{
    return (struct place){pixel / layer->out_w, pixel % layer->out_w};
}

static inline void next_place(const struct nn_layer *layer, struct place *place)
{
    if (++place->x == layer->out_w) {
        place->x = 0;
        place->y++;
    }
}

/* The values of a part by pixels, or of one by channels of a single pixel: from `begin` to `end` - 1 of the output. */
struct run {
    uint32_t begin, end;
};

static inline struct run run_of(const struct nn_layer *layer, const struct nn_part *part)
{
    uint32_t channels = layer->out_c;
    return (struct run){part->pixel * channels + part->channel, (part->pixel_end - 1u) * channels + part->channel_end};
}

#endif
