/* A frame of the sensor by PIO and DMA, made smaller line by line: no frame buffer. */
#ifndef CRUSTWATCH_CAPTURE_H
#define CRUSTWATCH_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#define IMAGE_SIDE 48u /* of the classifier's input: the mean of 5x5 boxes of the centre 240x240 pixels */

/* PIO 0 and DMA channels 0 and 1. */
void capture_start(void);

/* Wait for the next frame and write it as RGB, IMAGE_SIDE * IMAGE_SIDE * 3 bytes, to `image`. False when none comes. */
bool capture_frame(uint8_t *image);

#endif
