/* Generated from shared/uart/protocol.toml by shared/uart/generate.py; do not edit. */
#ifndef CRUSTWATCH_PROTOCOL_H
#define CRUSTWATCH_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#define CW_PROTOCOL_VERSION 1
#define CW_BAUD 921600
#define CW_PACKET_MAX 526 /* bytes before COBS: the longest body and its CRC-32 */
#define CW_LABELS_MAX 16 /* labels: the most a model may have (NN_MAX_LABELS) */
#define CW_CHUNK_UNIT 32 /* bytes: grain of a frame's transfer: chunks begin at multiples of it */
#define CW_CHUNK_MAX 512 /* bytes: the most that one chunk carries */
#define CW_FRAME_MAX 32768 /* bytes: the largest frame that the protocol can name */
#define CW_BITMAP_MAX 128 /* bytes: frame_max / chunk_unit / 8 */
#define CW_ERROR_KINDS 11 /* kinds: counters in statistics: one an error code, from code 1 */

/* error_code: Why a packet was refused. */
#define CW_ERROR_CODE_BAD_CRC 1 /* the packet's CRC-32 does not match */
#define CW_ERROR_CODE_BAD_FRAMING 2 /* not COBS, or shorter than type, sequence and CRC */
#define CW_ERROR_CODE_TOO_LONG 3 /* longer than any message; detail = the limit in bytes */
#define CW_ERROR_CODE_UNKNOWN_TYPE 4 /* no such message; detail = the type */
#define CW_ERROR_CODE_MALFORMED 5 /* the fields do not fill the body exactly, or a count exceeds its limit */
#define CW_ERROR_CODE_OUT_OF_ORDER 6 /* chunk or end of a frame that was not begun; detail = the frame under way */
#define CW_ERROR_CODE_OUT_OF_RANGE 7 /* chunk not on the grain or past the frame's end; detail = the offset */
#define CW_ERROR_CODE_BUSY 8 /* an inference is running; ask again after its result */
#define CW_ERROR_CODE_BAD_FRAME_CRC 9 /* every unit arrived but the frame's CRC-32 differs: all units are wanted again */
#define CW_ERROR_CODE_BAD_VALUE 10 /* frame size or thresholds that do not fit the model, detail = what would; no camera, detail = 0 */
#define CW_ERROR_CODE_OVERRUN 11 /* bytes were lost because the receive buffer was full */

/* gate_reason: Why the gate let a label act alone or not. */
#define CW_GATE_REASON_SURE 0 /* probability reaches the label's threshold */
#define CW_GATE_REASON_BELOW_THRESHOLD 1 /* probability is below the label's threshold */
#define CW_GATE_REASON_NEVER_ALONE 2 /* the label's threshold forbids acting alone */

#define CW_TYPE_HELLO 0x01
#define CW_TYPE_SET_THRESHOLDS 0x02
#define CW_TYPE_FRAME_BEGIN 0x03
#define CW_TYPE_FRAME_CHUNK 0x04
#define CW_TYPE_FRAME_END 0x05
#define CW_TYPE_GET_STATISTICS 0x06
#define CW_TYPE_CAPTURE 0x07
#define CW_TYPE_BOARD 0x81
#define CW_TYPE_THRESHOLDS 0x82
#define CW_TYPE_FRAME_READY 0x83
#define CW_TYPE_RESULT 0x85
#define CW_TYPE_MISSING 0x86
#define CW_TYPE_STATISTICS 0x87
#define CW_TYPE_ERROR 0xff

static inline uint8_t *cw_put(uint8_t *p, uint64_t value, uint32_t bytes)
{
    for (; bytes; bytes--, value >>= 8)
        *p++ = (uint8_t)value;
    return p;
}

static inline uint64_t cw_get(const uint8_t **p, uint32_t bytes)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < bytes; i++)
        value |= (uint64_t)*(*p)++ << (8 * i);
    return value;
}

/* Ask who is there. */
struct cw_hello {
    uint8_t protocol; /* version that the host speaks */
};

static inline bool cw_hello_unpack(const uint8_t *p, uint32_t size, struct cw_hello *m)
{
    const uint8_t *end = p + size;
    if (end - p < 1)
        return false;
    m->protocol = (uint8_t)cw_get(&p, 1);
    return p == end;
}

/* Replace the gate's thresholds until the next reset. Answered by `thresholds`. */
struct cw_set_thresholds {
    uint16_t tau_q15_count;
    uint16_t tau_q15[16]; /* one a label, Q15: 0 to 32768, or 65535 for never alone */
};

static inline bool cw_set_thresholds_unpack(const uint8_t *p, uint32_t size, struct cw_set_thresholds *m)
{
    const uint8_t *end = p + size;
    if (end - p < 1)
        return false;
    m->tau_q15_count = (uint16_t)cw_get(&p, 1);
    if (m->tau_q15_count > 16u)
        return false;
    if ((uint32_t)(end - p) < m->tau_q15_count * 2u)
        return false;
    for (uint32_t i = 0; i < m->tau_q15_count; i++)
        m->tau_q15[i] = (uint16_t)cw_get(&p, 2);
    return p == end;
}

/* Announce a frame. Answered by `frame_ready`. */
struct cw_frame_begin {
    uint16_t frame; /* number chosen by the host */
    uint32_t length; /* bytes: height * width * channels of the model's input, uint8 [h][w][c] */
    uint32_t crc32; /* of the whole frame */
};

static inline bool cw_frame_begin_unpack(const uint8_t *p, uint32_t size, struct cw_frame_begin *m)
{
    const uint8_t *end = p + size;
    if (end - p < 2)
        return false;
    m->frame = (uint16_t)cw_get(&p, 2);
    if (end - p < 4)
        return false;
    m->length = (uint32_t)cw_get(&p, 4);
    if (end - p < 4)
        return false;
    m->crc32 = (uint32_t)cw_get(&p, 4);
    return p == end;
}

/* A part of the frame. No answer when it is good. */
struct cw_frame_chunk {
    uint16_t frame; /* number of the frame */
    uint32_t offset; /* bytes from the frame's start; a multiple of chunk_unit */
    uint16_t data_count;
    const uint8_t *data; /* whole units; only the frame's last may be shorter */
};

static inline bool cw_frame_chunk_unpack(const uint8_t *p, uint32_t size, struct cw_frame_chunk *m)
{
    const uint8_t *end = p + size;
    if (end - p < 2)
        return false;
    m->frame = (uint16_t)cw_get(&p, 2);
    if (end - p < 4)
        return false;
    m->offset = (uint32_t)cw_get(&p, 4);
    if (end - p < 2)
        return false;
    m->data_count = (uint16_t)cw_get(&p, 2);
    if (m->data_count > 512u)
        return false;
    if ((uint32_t)(end - p) < m->data_count)
        return false;
    m->data = p;
    p += m->data_count;
    return p == end;
}

/* Classify the frame. Answered by `result`, or by `missing`. */
struct cw_frame_end {
    uint16_t frame; /* number of the frame */
};

static inline bool cw_frame_end_unpack(const uint8_t *p, uint32_t size, struct cw_frame_end *m)
{
    const uint8_t *end = p + size;
    if (end - p < 2)
        return false;
    m->frame = (uint16_t)cw_get(&p, 2);
    return p == end;
}

/* Ask for the counters. Answered by `statistics`. */
struct cw_get_statistics {
    uint8_t unused; /* C wants a member */
};

static inline bool cw_get_statistics_unpack(const uint8_t *p, uint32_t size, struct cw_get_statistics *m)
{
    const uint8_t *end = p + size;
    (void)m;
    return p == end;
}

/* Classify a frame of the board's own camera. Answered by `result`, or by `error` bad_value without a camera. */
struct cw_capture {
    uint16_t frame; /* number chosen by the host; the last one again repeats its result */
};

static inline bool cw_capture_unpack(const uint8_t *p, uint32_t size, struct cw_capture *m)
{
    const uint8_t *end = p + size;
    if (end - p < 2)
        return false;
    m->frame = (uint16_t)cw_get(&p, 2);
    return p == end;
}

/* Answer to `hello`. */
struct cw_board {
    uint8_t protocol; /* version that the board speaks */
    uint8_t firmware[3]; /* major, minor, patch */
    uint8_t model_sha256[32]; /* of the .tflite file that the firmware was built from */
    uint16_t height; /* pixels of the model's input */
    uint16_t width; /* pixels of the model's input */
    uint8_t channels; /* of the model's input */
    uint8_t labels; /* number of logits */
    uint32_t clock_hz; /* of the processor */
};

static inline uint32_t cw_board_pack(const struct cw_board *m, uint8_t *out)
{
    uint8_t *p = out;
    p = cw_put(p, (uint64_t)m->protocol, 1);
    for (uint32_t i = 0; i < 3u; i++)
        p = cw_put(p, (uint64_t)m->firmware[i], 1);
    for (uint32_t i = 0; i < 32u; i++)
        p = cw_put(p, (uint64_t)m->model_sha256[i], 1);
    p = cw_put(p, (uint64_t)m->height, 2);
    p = cw_put(p, (uint64_t)m->width, 2);
    p = cw_put(p, (uint64_t)m->channels, 1);
    p = cw_put(p, (uint64_t)m->labels, 1);
    p = cw_put(p, (uint64_t)m->clock_hz, 4);
    return (uint32_t)(p - out);
}

/* Answer to `set_thresholds`: those now in force. */
struct cw_thresholds {
    uint16_t tau_q15_count;
    uint16_t tau_q15[16]; /* one a label, Q15 */
};

static inline uint32_t cw_thresholds_pack(const struct cw_thresholds *m, uint8_t *out)
{
    uint8_t *p = out;
    p = cw_put(p, m->tau_q15_count, 1);
    for (uint32_t i = 0; i < m->tau_q15_count; i++)
        p = cw_put(p, (uint64_t)m->tau_q15[i], 2);
    return (uint32_t)(p - out);
}

/* Answer to `frame_begin`. */
struct cw_frame_ready {
    uint16_t frame; /* number of the frame */
};

static inline uint32_t cw_frame_ready_pack(const struct cw_frame_ready *m, uint8_t *out)
{
    uint8_t *p = out;
    p = cw_put(p, (uint64_t)m->frame, 2);
    return (uint32_t)(p - out);
}

/* The classification of a frame. */
struct cw_result {
    uint16_t frame; /* number of the frame */
    uint16_t logits_count;
    int8_t logits[16]; /* the model's output */
    uint8_t label; /* index of the largest logit, the lowest of equals */
    uint16_t probability_q15; /* of the label; 32768 is 1 */
    uint16_t tau_q15; /* the label's threshold that the gate used: shows the host a board that was reset */
    uint8_t sure; /* 1: the label may act alone */
    uint8_t reason; /* enum gate_reason */
    uint64_t cycles; /* processor cycles of the inference, from input in memory to logits */
    uint32_t inference_us; /* the same by the microsecond timer */
};

static inline uint32_t cw_result_pack(const struct cw_result *m, uint8_t *out)
{
    uint8_t *p = out;
    p = cw_put(p, (uint64_t)m->frame, 2);
    p = cw_put(p, m->logits_count, 1);
    for (uint32_t i = 0; i < m->logits_count; i++)
        p = cw_put(p, (uint64_t)m->logits[i], 1);
    p = cw_put(p, (uint64_t)m->label, 1);
    p = cw_put(p, (uint64_t)m->probability_q15, 2);
    p = cw_put(p, (uint64_t)m->tau_q15, 2);
    p = cw_put(p, (uint64_t)m->sure, 1);
    p = cw_put(p, (uint64_t)m->reason, 1);
    p = cw_put(p, (uint64_t)m->cycles, 8);
    p = cw_put(p, (uint64_t)m->inference_us, 4);
    return (uint32_t)(p - out);
}

/* Answer to `frame_end` when units did not arrive. */
struct cw_missing {
    uint16_t frame; /* number of the frame */
    uint16_t bitmap_count;
    const uint8_t *bitmap; /* bit i % 8 of byte i / 8 is set when unit i is wanted */
};

static inline uint32_t cw_missing_pack(const struct cw_missing *m, uint8_t *out)
{
    uint8_t *p = out;
    p = cw_put(p, (uint64_t)m->frame, 2);
    p = cw_put(p, m->bitmap_count, 1);
    for (uint32_t i = 0; i < m->bitmap_count; i++)
        p = cw_put(p, (uint64_t)m->bitmap[i], 1);
    return (uint32_t)(p - out);
}

/* Answer to `get_statistics`: counters since reset. */
struct cw_statistics {
    uint64_t uptime_us; /* microseconds since reset */
    uint32_t frames; /* classified */
    uint32_t escalated; /* of these not sure */
    uint32_t packets; /* good packets received */
    uint32_t errors[11]; /* by error_code, from code 1 */
    uint32_t stack_bytes; /* most of the stack ever used */
};

static inline uint32_t cw_statistics_pack(const struct cw_statistics *m, uint8_t *out)
{
    uint8_t *p = out;
    p = cw_put(p, (uint64_t)m->uptime_us, 8);
    p = cw_put(p, (uint64_t)m->frames, 4);
    p = cw_put(p, (uint64_t)m->escalated, 4);
    p = cw_put(p, (uint64_t)m->packets, 4);
    for (uint32_t i = 0; i < 11u; i++)
        p = cw_put(p, (uint64_t)m->errors[i], 4);
    p = cw_put(p, (uint64_t)m->stack_bytes, 4);
    return (uint32_t)(p - out);
}

/* A packet was refused. The next good one is served as if nothing had happened. */
struct cw_error {
    uint8_t code; /* enum error_code */
    uint8_t request; /* type of the refused message, 0 when it could not be read */
    uint32_t detail; /* depends on the code, else 0 */
};

static inline uint32_t cw_error_pack(const struct cw_error *m, uint8_t *out)
{
    uint8_t *p = out;
    p = cw_put(p, (uint64_t)m->code, 1);
    p = cw_put(p, (uint64_t)m->request, 1);
    p = cw_put(p, (uint64_t)m->detail, 4);
    return (uint32_t)(p - out);
}

#endif
