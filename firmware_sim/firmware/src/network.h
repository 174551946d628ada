/* Runs a model over a frame. */
#ifndef CRUSTWATCH_NETWORK_H
#define CRUSTWATCH_NETWORK_H

#include "nn.h"

/* Where the caller puts the frame before network_run: uint8 [h][w][c]. */
static inline uint8_t *network_frame(const struct nn_model *model)
{
    return (uint8_t *)(model->arena + model->input_offset);
}

static inline uint32_t network_frame_bytes(const struct nn_model *model)
{
    return (uint32_t)model->input_h * model->input_w * model->input_c;
}

/* Classify the frame at network_frame(); the frame is destroyed. `between_layers` (may be NULL) is called after each
 * layer with `context`. Returns the logits, int8[labels], valid until the next frame is put in. */
const int8_t *network_run(const struct nn_model *model, void (*between_layers)(void *context), void *context);

#endif
