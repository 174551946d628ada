/* The int8 operators. Each reads its inputs from, and writes its output to, `arena` as nn.h describes. */
#ifndef CRUSTWATCH_KERNELS_H
#define CRUSTWATCH_KERNELS_H

#include "nn.h"

void conv_2d(const struct nn_layer *layer, int8_t *arena);
void depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena);
void average_pool_2d(const struct nn_layer *layer, int8_t *arena);
void pad(const struct nn_layer *layer, int8_t *arena);
void add(const struct nn_layer *layer, int8_t *arena);

#endif
