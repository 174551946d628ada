/* The gate: may the label act alone? In integers; edge/gate/integer.py does the same arithmetic. */
#ifndef CRUSTWATCH_GATE_H
#define CRUSTWATCH_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "nn.h"

/* A threshold that no probability reaches. */
#define GATE_NEVER_ALONE 65535u

struct gate_decision {
    uint8_t label;            /* index of the largest logit, the lowest of equals */
    uint16_t probability_q15; /* rounded down; 32768 is 1 */
    bool sure;
    uint8_t reason; /* CW_GATE_REASON_* */
};

struct gate_decision gate_decide(const struct nn_model *model, const uint16_t *tau_q15, const int8_t *logits);

#endif
