#include <stddef.h>

#include "capture.h"
#include "clocks.h"
#include "nn.h"
#include "second_core.h"
#include "sensor.h"
#include "service.h"
#include "stack.h"
#include "uart.h"

#define READ_BYTES 64u

static struct service service;

static void take_bytes(void *context)
{
    uint8_t bytes[READ_BYTES];
    uint32_t count;
    while ((count = uart_read(bytes, sizeof bytes)) != 0)
        service_receive(context, bytes, count);
    if (uart_overrun())
        service_overrun(context);
}

/* The camera is started when it is first asked for: boards without one never touch its pins. */
static bool capture(uint8_t *image)
{
    static bool started;
    if (nn_model.input_h != IMAGE_SIDE || nn_model.input_w != IMAGE_SIDE || nn_model.input_c != 3)
        return false;
    if (!started) {
        if (!sensor_start())
            return false;
        capture_start();
        started = true;
    }
    started = capture_frame(image); /* one that stopped is started anew the next time */
    return started;
}

static const struct service_port port = {
    .send = uart_write,
    .now_us = clocks_now_us,
    .cycles = clocks_cycles,
    .stack_bytes = stack_bytes_used,
    .capture = capture,
    .between_layers = take_bytes,
    .clock_hz = SYS_HZ,
};

int main(void)
{
    clocks_start();
    uart_start();
    if (nn_model.cores > 1)
        second_core_start(&nn_model);
    service_init(&service, &nn_model, &port);
    for (;;) {
        take_bytes(&service);
        if (!service_work(&service))
            uart_wait();
    }
}
