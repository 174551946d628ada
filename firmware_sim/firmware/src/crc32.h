#ifndef CRUSTWATCH_CRC32_H
#define CRUSTWATCH_CRC32_H

#include <stdint.h>

/* CRC-32 of IEEE 802.3, as zlib.crc32. */
uint32_t crc32(const uint8_t *bytes, uint32_t count);

#endif
