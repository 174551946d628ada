/* The second core's part on this machine: computed when core 0 begins the layer, in a work area of its own. */
#include "network.h"
#include "second_core.h"

void second_core_start(const struct nn_model *model)
{
    (void)model;
}

void second_core_begin(const struct nn_layer *layer)
{
    struct nn_part part = network_part(&nn_model, layer, 1);
    layer->run(layer, nn_model.arena, &part);
}

void second_core_wait(void)
{
}
