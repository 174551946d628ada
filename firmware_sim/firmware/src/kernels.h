/* The operators. Each reads its inputs from, and writes its output to, `arena` as nn.h describes, and computes `part` of
 * its layer: some pixels, all channels of them, or all pixels, some channels of them. */
#ifndef CRUSTWATCH_KERNELS_H
#define CRUSTWATCH_KERNELS_H

#include "nn.h"

/* On pairs of pixels: what nn.h says of weights and of NN_WORK_WORDS must hold. The second by channels only. */
nn_kernel conv_2d, depthwise_conv_2d;

/* By generated code; the window fits NN_WORK_WORDS. By channels only where the compiler made code of each part. */
nn_kernel generated_conv_2d;
nn_kernel generated_depthwise_conv_2d; /* 3x3, by channels only; three packed rows fit NN_WORK_WORDS */

/* For every weight and window, slowly. */
nn_kernel plain_conv_2d, plain_depthwise_conv_2d;

nn_kernel average_pool_2d, max_pool_2d;
nn_kernel mean;       /* by channels only where it keeps them */
nn_kernel pad;        /* by pixels only, whole rows of them */
nn_kernel add, mul;   /* add: ADD and SUB */
nn_kernel proven_add; /* ADD and SUB of one shape, in the compiler's cheap form */
nn_kernel copy;       /* one input of CONCATENATION; not divided */
nn_kernel softmax;    /* by pixels only */

/* Value by value; by channels only where there is one pixel, as proven_add. */
nn_kernel lookup, quantize, dequantize; /* quantize: from float32, dequantize: to float32 */

#endif
