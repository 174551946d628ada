/* What the device says of itself. */
#ifndef USB_CONSOLE_DESCRIPTORS_H
#define USB_CONSOLE_DESCRIPTORS_H

#include <stdint.h>

#define CDC_NOTIFY 1 /* endpoint numbers */
#define CDC_OUT 2
#define CDC_IN 3
#define DESCRIPTOR_LARGEST 128u

/* The descriptor `index` of `type` to `out`; returns its size, 0 when there is none. */
uint32_t descriptor_find(uint8_t type, uint8_t index, uint8_t *out);

#endif
