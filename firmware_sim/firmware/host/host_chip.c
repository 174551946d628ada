/* What the chip does beside its first core, on this machine: the second core's part is computed when core 0 begins the
 * layer, in a work area of its own; the twins of generated code need no overlays. */
#include "network.h"
#include "overlay.h"
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

void overlay_begin(const struct nn_model *model)
{
    (void)model;
}

void overlay_enter(const struct nn_layer *layer)
{
    (void)layer;
}
