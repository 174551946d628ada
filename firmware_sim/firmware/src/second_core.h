/* Core 1 as a helper: core 0 names a layer, core 1 computes its part of it. */
#ifndef CRUSTWATCH_SECOND_CORE_H
#define CRUSTWATCH_SECOND_CORE_H

#include "nn.h"

/* Start core 1; it then sleeps until it is asked. Once, before the other two; only for a model of two cores. */
void second_core_start(const struct nn_model *model);

/* Let core 1 begin with its part of `layer`. */
void second_core_begin(const struct nn_layer *layer);

/* Wait until it has finished. What it wrote may be read then. */
void second_core_wait(void);

#endif
