/* Packets on the line: COBS with a zero behind each, CRC-32 inside (shared/uart/protocol.toml). No I/O. */
#ifndef CRUSTWATCH_PACKET_H
#define CRUSTWATCH_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "protocol.h"

#define PACKET_CRC_BYTES 4u

struct packet_decoder {
    uint8_t bytes[CW_PACKET_MAX]; /* body and CRC-32 of the packet under way */
    uint32_t size;
    uint8_t left;  /* bytes until the next code byte */
    bool zero_due; /* the code byte that comes next stands for a zero */
    bool started;
    bool dropped; /* whatever comes until the next zero is lost */
};

enum packet_event {
    PACKET_PENDING, /* no packet ended here */
    PACKET_GOOD,    /* body is bytes[0 .. size - PACKET_CRC_BYTES) until the next byte is fed */
    PACKET_BAD_CRC,
    PACKET_BAD_FRAMING,
    PACKET_TOO_LONG,
};

/* All zero is the state of a new decoder. */
void packet_reset(struct packet_decoder *decoder);

enum packet_event packet_feed(struct packet_decoder *decoder, uint8_t byte);

/* Bytes that packet_encode writes at most for a body of `size` bytes. */
#define PACKET_ENCODED_MAX(size) ((size) + PACKET_CRC_BYTES + ((size) + PACKET_CRC_BYTES) / 254u + 2u)

/* Append the CRC-32 to `body`, which has room for it, and write the packet to `out`. Returns its bytes. */
uint32_t packet_encode(uint8_t *body, uint32_t size, uint8_t *out);

#endif
