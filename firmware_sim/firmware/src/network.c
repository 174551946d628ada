#include "network.h"

#include <stddef.h>

#include "kernels.h"

const int8_t *network_run(const struct nn_model *model, void (*between_layers)(void *context), void *context)
{
    uint8_t *frame = network_frame(model);
    uint32_t bytes = network_frame_bytes(model);
    for (uint32_t i = 0; i < bytes; i++)
        frame[i] ^= 0x80; /* uint8 x to int8 x - 128 */
    for (uint32_t i = 0; i < model->layer_count; i++) {
        const struct nn_layer *layer = &model->layers[i];
        switch ((enum nn_op)layer->op) {
        case NN_CONV_2D:
            conv_2d(layer, model->arena);
            break;
        case NN_DEPTHWISE_CONV_2D:
            depthwise_conv_2d(layer, model->arena);
            break;
        case NN_AVERAGE_POOL_2D:
            average_pool_2d(layer, model->arena);
            break;
        case NN_PAD:
            pad(layer, model->arena);
            break;
        case NN_ADD:
            add(layer, model->arena);
            break;
        }
        if (between_layers != NULL)
            between_layers(context);
    }
    return model->arena + model->output_offset;
}
