/* The firmware's portable part (everything but clocks, UART and start-up) on the host: for tests. */
#ifndef CRUSTWATCH_HOST_PORT_H
#define CRUSTWATCH_HOST_PORT_H

#include <stdint.h>

#define HOST_API __attribute__((visibility("default")))

/* As after a reset. */
HOST_API void host_reset(void);

/* Run the network alone: `frame` uint8 [h][w][c], `logits` int8 [labels]. */
HOST_API void host_infer(const uint8_t *frame, int8_t *logits);

/* Give the service bytes, and let it work until it has nothing to do. With `work` 0 a complete frame stays waiting, as
 * while an inference runs. */
HOST_API void host_receive(const uint8_t *bytes, uint32_t count, int work);

/* Take at most `room` of the bytes that the service has sent. Returns how many. */
HOST_API uint32_t host_take(uint8_t *bytes, uint32_t room);

#endif
