/* The operators. Each reads its inputs from, and writes its output to, `arena` as nn.h describes. */
#ifndef CRUSTWATCH_KERNELS_H
#define CRUSTWATCH_KERNELS_H

#include "nn.h"

/* On pairs of pixels: what nn.h says of weights and of NN_WORK_WORDS must hold. */
void conv_2d(const struct nn_layer *layer, int8_t *arena);
void depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena);

/* By generated code; the window fits NN_WORK_WORDS. */
void generated_conv_2d(const struct nn_layer *layer, int8_t *arena);

/* For every weight and window, slowly. */
void plain_conv_2d(const struct nn_layer *layer, int8_t *arena);
void plain_depthwise_conv_2d(const struct nn_layer *layer, int8_t *arena);

void average_pool_2d(const struct nn_layer *layer, int8_t *arena);
void max_pool_2d(const struct nn_layer *layer, int8_t *arena);
void mean(const struct nn_layer *layer, int8_t *arena);
void pad(const struct nn_layer *layer, int8_t *arena);
void add(const struct nn_layer *layer, int8_t *arena); /* ADD and SUB */
void proven_add(const struct nn_layer *layer, int8_t *arena); /* the same of one shape, in the compiler's cheap form */
void mul(const struct nn_layer *layer, int8_t *arena);
void copy(const struct nn_layer *layer, int8_t *arena); /* one input of CONCATENATION */
void lookup(const struct nn_layer *layer, int8_t *arena);
void softmax(const struct nn_layer *layer, int8_t *arena);
void quantize(const struct nn_layer *layer, int8_t *arena);   /* from float32 */
void dequantize(const struct nn_layer *layer, int8_t *arena); /* to float32 */

#endif
