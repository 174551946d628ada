/* The board's side of the protocol: packets in, replies out, one frame at a time. No I/O: the port does that.
 *
 * service_receive takes bytes at any time, also while service_work runs an inference: then everything but `hello`
 * and `get_statistics` is refused as busy. Neither blocks on the host. */
#ifndef CRUSTWATCH_SERVICE_H
#define CRUSTWATCH_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "nn.h"
#include "packet.h"

/* What the service needs of the machine it runs on. */
struct service_port {
    void (*send)(const uint8_t *bytes, uint32_t count); /* one packet; may block until there is room */
    uint64_t (*now_us)(void);                           /* since reset */
    uint64_t (*cycles)(void);                           /* of the processor; may wrap only at 2^64 */
    uint32_t (*stack_bytes)(void);                      /* most of the stack ever used */
    bool (*capture)(uint8_t *image);                    /* a frame of the model's input; NULL or false: no camera */
    void (*between_layers)(void *service);              /* may call service_receive; NULL: not called */
    uint32_t clock_hz;
};

enum frame_state {
    FRAME_NONE,
    FRAME_CAPTURING, /* service_work fetches it from the camera */
    FRAME_RECEIVING, /* begun; units arrive */
    FRAME_READY,     /* complete; service_work classifies it */
    FRAME_RUNNING,   /* service_work is at it */
    FRAME_DONE,      /* `result` answers a repeated frame_end */
};

struct service {
    const struct nn_model *model;
    const struct service_port *port;
    struct packet_decoder decoder;

    enum frame_state state;
    uint16_t frame;
    uint32_t frame_crc32;
    uint8_t missing[CW_BITMAP_MAX]; /* bit i % 8 of byte i / 8: unit i is wanted */
    uint32_t missing_units;
    uint8_t end_sequence; /* of the frame_end or capture that service_work answers */

    struct cw_result result;
    struct cw_statistics statistics; /* the counters; times are filled in when asked */
    uint16_t tau_q15[NN_MAX_LABELS];

    uint8_t body[CW_PACKET_MAX]; /* of the reply under way */
    uint8_t packet[PACKET_ENCODED_MAX(CW_PACKET_MAX)];
};

_Static_assert(NN_MAX_LABELS == CW_LABELS_MAX, "protocol and model agree on the most labels");

void service_init(struct service *service, const struct nn_model *model, const struct service_port *port);

/* Take bytes from the line and answer the packets that they complete. */
void service_receive(struct service *service, const uint8_t *bytes, uint32_t count);

/* Bytes were lost before service_receive could take them: tell the host. */
void service_overrun(struct service *service);

/* Classify the frame if one is complete. Returns whether there was one. */
bool service_work(struct service *service);

#endif
