#include "host_model.h"

#include <stddef.h>
#include <string.h>

#include "network.h"

void host_run(const uint8_t *inputs, uint8_t *outputs, uint32_t count)
{
    for (; count; count--, inputs += nn_model.input_bytes, outputs += nn_model.output_bytes) {
        memcpy(network_frame(&nn_model), inputs, nn_model.input_bytes);
        memcpy(outputs, network_run(&nn_model, NULL, NULL), nn_model.output_bytes);
    }
}
