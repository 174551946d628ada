/* What the depthwise convolutions share. */
#ifndef CRUSTWATCH_DEPTHWISE_H
#define CRUSTWATCH_DEPTHWISE_H

#include "nn.h"

/* One output channel by the kernels on pairs. */
void depthwise_channel(const struct nn_layer *layer, int8_t *arena, const struct nn_part *part, uint32_t channel);

#endif
