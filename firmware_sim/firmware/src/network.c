#include "network.h"

#include <stddef.h>

#include "overlay.h"
#include "second_core.h"

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

struct nn_part network_part(const struct nn_model *model, const struct nn_layer *layer, uint32_t core)
{
    struct nn_part part = {
        .pixel_end = (uint32_t)layer->out_h * layer->out_w,
        .channel = layer->first_channel,
        .channel_end = layer->end_channel ? layer->end_channel : layer->out_c,
        .core = core,
        .work = model->work[core],
    };
    uint32_t *begin = layer->by_channels ? &part.channel : &part.pixel;
    uint32_t *end = layer->by_channels ? &part.channel_end : &part.pixel_end;
    if (layer->split)
        *(core ? begin : end) = layer->split;
    return part;
}

const int8_t *network_run(const struct nn_model *model, void (*between_layers)(void *context), void *context)
{
    if (model->overlay != NULL)
        overlay_begin(model);
    for (uint32_t i = 0; i < model->layer_count; i++) {
        const struct nn_layer *layer = &model->layers[i];
        struct nn_part part = network_part(model, layer, 0);
        if (layer->overlay != NULL)
            overlay_enter(layer);
        if (layer->split)
            second_core_begin(layer);
        layer->run(layer, model->arena, &part);
        if (layer->split)
            second_core_wait();
        if (between_layers != NULL)
            between_layers(context);
    }
    return model->arena + model->output_offset;
}
