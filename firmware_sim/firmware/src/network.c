#include "network.h"

#include <stddef.h>

void network_shift_range(const struct nn_model *model)
{
    typedef uint32_t __attribute__((may_alias)) word;
    uint8_t *frame = network_frame(model);
    word *words = (word *)(void *)frame;
    uint32_t bytes = model->input_bytes;
    for (uint32_t i = 0; i < bytes / 4; i++)
        words[i] ^= 0x80808080u;
    for (uint32_t i = bytes & ~3u; i < bytes; i++)
        frame[i] ^= 0x80;
}

const int8_t *network_run(const struct nn_model *model, void (*between_layers)(void *context), void *context)
{
    for (uint32_t i = 0; i < model->layer_count; i++) {
        const struct nn_layer *layer = &model->layers[i];
        layer->run(layer, model->arena);
        if (between_layers != NULL)
            between_layers(context);
    }
    return model->arena + model->output_offset;
}
