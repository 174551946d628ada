#include <stddef.h>

#include "clocks.h"
#include "nn.h"
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

static const struct service_port port = {
    .send = uart_write,
    .now_us = clocks_now_us,
    .cycles = clocks_cycles,
    .stack_bytes = stack_bytes_used,
    .between_layers = take_bytes,
    .clock_hz = SYS_HZ,
};

int main(void)
{
    clocks_start();
    uart_start();
    service_init(&service, &nn_model, &port);
    for (;;) {
        take_bytes(&service);
        if (!service_work(&service))
            uart_wait();
    }
}
