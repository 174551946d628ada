#include "network.h"

#include <stddef.h>

#include "kernels.h"

/* uint8 x to int8 x - 128. The frame is aligned to words. */
static void shift_range(uint8_t *frame, uint32_t bytes)
{
    typedef uint32_t __attribute__((may_alias)) word;
    word *words = (word *)(void *)frame;
    for (uint32_t i = 0; i < bytes / 4; i++)
        words[i] ^= 0x80808080u;
    for (uint32_t i = bytes & ~3u; i < bytes; i++)
        frame[i] ^= 0x80;
}

const int8_t *network_run(const struct nn_model *model, void (*between_layers)(void *context), void *context)
{
    shift_range(network_frame(model), network_frame_bytes(model));
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
