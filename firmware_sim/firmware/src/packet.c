#include "packet.h"

#include "crc32.h"

void packet_reset(struct packet_decoder *decoder)
{
    decoder->size = 0;
    decoder->left = 0;
    decoder->zero_due = false;
    decoder->started = false;
    decoder->dropped = false;
}

static void append(struct packet_decoder *decoder, uint8_t byte)
{
    if (decoder->size < CW_PACKET_MAX)
        decoder->bytes[decoder->size++] = byte;
    else
        decoder->dropped = true;
}

static enum packet_event check(const struct packet_decoder *decoder)
{
    if (!decoder->started)
        return PACKET_PENDING;
    if (decoder->dropped)
        return PACKET_TOO_LONG;
    if (decoder->left != 0 || decoder->size < 2 + PACKET_CRC_BYTES)
        return PACKET_BAD_FRAMING;
    uint32_t body = decoder->size - PACKET_CRC_BYTES;
    const uint8_t *tail = decoder->bytes + body;
    return cw_get(&tail, PACKET_CRC_BYTES) == crc32(decoder->bytes, body) ? PACKET_GOOD : PACKET_BAD_CRC;
}

enum packet_event packet_feed(struct packet_decoder *decoder, uint8_t byte)
{
    if (byte == 0) {
        enum packet_event event = check(decoder);
        uint32_t size = decoder->size;
        packet_reset(decoder);
        if (event == PACKET_GOOD)
            decoder->size = size; /* the caller reads it before it feeds the next byte */
        return event;
    }
    if (!decoder->started) {
        decoder->started = true;
        decoder->size = 0;
    }
    if (decoder->left != 0) {
        append(decoder, byte);
        decoder->left--;
        return PACKET_PENDING;
    }
    if (decoder->zero_due)
        append(decoder, 0);
    decoder->left = (uint8_t)(byte - 1);
    decoder->zero_due = byte != 255;
    return PACKET_PENDING;
}

uint32_t packet_encode(uint8_t *body, uint32_t size, uint8_t *out)
{
    cw_put(body + size, crc32(body, size), PACKET_CRC_BYTES);
    uint8_t *code = out, *next = out + 1;
    for (uint32_t i = 0; i < size + PACKET_CRC_BYTES; i++) {
        if (body[i] != 0)
            *next++ = body[i];
        if (body[i] == 0 || next - code == 255) {
            *code = (uint8_t)(next - code);
            code = next++;
        }
    }
    *code = (uint8_t)(next - code);
    *next++ = 0;
    return (uint32_t)(next - out);
}
