/* Generated code that lies in flash: DMA brings it into a slot of SRAM while other layers run. */
#ifndef CRUSTWATCH_OVERLAY_H
#define CRUSTWATCH_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>

#include "nn.h"

/* Begin to load the model's first overlay. Before the layers of each inference; the slots are free then. */
void overlay_begin(const struct nn_model *model);

/* Wait until the layer's code is in its slot, and begin to load the next: into the other slot, whose layer has run. */
void overlay_enter(const struct nn_layer *layer);

/* Where it begins in flash: without the bit that says Thumb. */
static inline uintptr_t overlay_address(const struct nn_overlay *overlay)
{
    return (uintptr_t)overlay->from & ~(uintptr_t)1;
}

/* Where `code` of `layer` is when it runs. */
static inline nn_code *overlay_place(const struct nn_layer *layer, nn_code *code)
{
    const struct nn_overlay *overlay = layer->overlay;
    if (overlay == NULL)
        return code;
    return (nn_code *)((uintptr_t)overlay->to + ((uintptr_t)code - overlay_address(overlay)));
}

#endif
