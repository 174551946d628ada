/* One DMA channel reads flash through the XIP cache, whose lines of 8 bytes cost less than words (boot2_quad.S: 64 cycles
 * a line, 48 a word), and writes a slot. No core waits for it but at overlay_enter(). */
#include "overlay.h"

#include "registers.h"

#define CHANNEL 11u /* the camera has 0 and 1 */

static void load(const struct nn_overlay *overlay)
{
    REGISTER(DMA_READ_ADDR(CHANNEL)) = overlay_address(overlay);
    REGISTER(DMA_WRITE_ADDR(CHANNEL)) = (uint32_t)overlay->to;
    REGISTER(DMA_TRANS_COUNT(CHANNEL)) = overlay->words;
    REGISTER(DMA_CTRL_TRIG(CHANNEL)) =
        DMA_ENABLE | DMA_WORDS | DMA_INCR_READ | DMA_INCR_WRITE | DMA_CHAIN_TO(CHANNEL) | DMA_UNPACED;
}

void overlay_begin(const struct nn_model *model)
{
    CLEAR_ALIAS(RESETS_RESET) = RESETS_DMA; /* out of its reset, for the first inference */
    while (~REGISTER(RESETS_RESET_DONE) & RESETS_DMA)
        ;
    load(model->overlay);
}

void overlay_enter(const struct nn_layer *layer)
{
    while (REGISTER(DMA_CTRL_TRIG(CHANNEL)) & DMA_BUSY)
        ;
    __asm__ volatile("" : : : "memory");
    if (layer->overlay->next != NULL)
        load(layer->overlay->next);
}
