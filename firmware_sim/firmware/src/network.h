/* Runs a model over an input. */
#ifndef CRUSTWATCH_NETWORK_H
#define CRUSTWATCH_NETWORK_H

#include "nn.h"

/* Where the caller puts the input before network_run, input_bytes of it. */
static inline uint8_t *network_frame(const struct nn_model *model)
{
    return (uint8_t *)(model->arena + model->input_offset);
}

/* Turn a frame of uint8 at network_frame() into int8 x - 128. */
void network_shift_range(const struct nn_model *model);

/* What `core` computes of `layer`. */
struct nn_part network_part(const struct nn_model *model, const struct nn_layer *layer, uint32_t core);

/* Run the layers on the input at network_frame(), which is destroyed; on both cores where the
 * compiler divided a layer, after second_core_start(). `between_layers` (may be NULL) is called after
 * each layer with `context`. Returns the output, output_bytes of it, valid until the next input is put in. */
const int8_t *network_run(const struct nn_model *model, void (*between_layers)(void *context), void *context);

#endif
