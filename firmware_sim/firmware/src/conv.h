/* What the dense convolutions share. */
#ifndef CRUSTWATCH_CONV_H
#define CRUSTWATCH_CONV_H

#include "nn.h"

/* Pack the windows of `count` output pixels from `pixel` on into `words`, `pairs` = (count + 1) / 2 windows of `size`
 * words: pixel i of the tile with pixel pairs + i, or with itself when the tile has no such pixel. What lies between
 * the taps of a window and the next window is not written. */
void conv_pack_tile(const struct nn_layer *layer, const int8_t *input, uint32_t pixel, uint32_t pairs, uint32_t count,
                    uint32_t size, int32_t *words);

#endif
