#include "host_port.h"

#include <stddef.h>
#include <string.h>

#include "network.h"
#include "service.h"

#define SENT_BYTES (1u << 20) /* a test takes replies long before this is full; what does not fit is dropped */

static struct service service;
static uint8_t sent[SENT_BYTES];
static uint32_t sent_count;
static uint64_t ticks;

static void send(const uint8_t *bytes, uint32_t count)
{
    if (count > SENT_BYTES - sent_count)
        return;
    memcpy(sent + sent_count, bytes, count);
    sent_count += count;
}

/* Time that only moves when it is asked for: replies are the same in every run. */
static uint64_t tick(void)
{
    return ticks++;
}

static uint32_t no_stack(void)
{
    return 0;
}

/* A camera whose frames are all one byte, another one each time; every fourth does not come. */
static bool capture(uint8_t *image)
{
    static uint8_t shade;
    memset(image, shade, nn_model.input_bytes);
    return ++shade % 4 != 0;
}

static const struct service_port port = {
    .send = send,
    .now_us = tick,
    .cycles = tick,
    .stack_bytes = no_stack,
    .capture = capture,
    .between_layers = NULL,
    .clock_hz = 1000000,
};

void host_reset(void)
{
    sent_count = 0;
    ticks = 0;
    service_init(&service, &nn_model, &port);
}

void host_infer(const uint8_t *frame, int8_t *logits)
{
    memcpy(network_frame(&nn_model), frame, nn_model.input_bytes);
    network_shift_range(&nn_model);
    memcpy(logits, network_run(&nn_model, NULL, NULL), nn_model.labels);
}

void host_receive(const uint8_t *bytes, uint32_t count, int work)
{
    service_receive(&service, bytes, count);
    while (work && service_work(&service))
        ;
}

uint32_t host_take(uint8_t *bytes, uint32_t room)
{
    uint32_t count = sent_count < room ? sent_count : room;
    memcpy(bytes, sent, count);
    memmove(sent, sent + count, sent_count - count);
    sent_count -= count;
    return count;
}
