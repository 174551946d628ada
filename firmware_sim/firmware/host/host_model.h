/* One model's network alone on the host: for tests. */
#ifndef CRUSTWATCH_HOST_MODEL_H
#define CRUSTWATCH_HOST_MODEL_H

#include <stdint.h>

#define HOST_API __attribute__((visibility("default")))

/* Run `count` inputs of input_bytes each; their outputs have output_bytes each. */
HOST_API void host_run(const uint8_t *inputs, uint8_t *outputs, uint32_t count);

#endif
