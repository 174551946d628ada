#include "gate.h"

#include "protocol.h"

struct gate_decision gate_decide(const struct nn_model *model, const uint16_t *tau_q15, const int8_t *logits)
{
    uint32_t label = 0;
    for (uint32_t i = 1; i < model->labels; i++)
        if (logits[i] > logits[label])
            label = i;
    uint32_t total = 0; /* at most NN_MAX_LABELS * 2^15 */
    for (uint32_t i = 0; i < model->labels; i++)
        total += model->gate_lut[logits[label] - logits[i]];
    uint32_t one = (uint32_t)model->gate_lut[0] << 15; /* 2^30 */
    struct gate_decision decision = {.label = (uint8_t)label, .probability_q15 = (uint16_t)(one / total)};
    if (tau_q15[label] == GATE_NEVER_ALONE) {
        decision.reason = CW_GATE_REASON_NEVER_ALONE;
        return decision;
    }
    decision.sure = one >= (uint64_t)tau_q15[label] * total; /* up to 2^34 */
    decision.reason = decision.sure ? CW_GATE_REASON_SURE : CW_GATE_REASON_BELOW_THRESHOLD;
    return decision;
}
