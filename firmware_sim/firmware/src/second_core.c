/* Core 1 is launched by the boot ROM's protocol (RP2040 datasheet 2.8.2), with a stack in the other 4 KB bank. A layer is
 * a word to it through the SIO FIFO, and one back: neither core reads SRAM while it waits, so it disturbs nobody. */
#include "second_core.h"

#include "network.h"
#include "registers.h"

extern uint32_t stack1_top[];

static void send(uint32_t word)
{
    while (!(REGISTER(SIO_FIFO_ST) & SIO_FIFO_RDY))
        ;
    REGISTER(SIO_FIFO_WR) = word;
    __asm__ volatile("sev");
}

static uint32_t receive(void)
{
    while (!(REGISTER(SIO_FIFO_ST) & SIO_FIFO_VLD))
        __asm__ volatile("wfe");
    return REGISTER(SIO_FIFO_RD);
}

static const struct nn_model *model;

static void run_parts(void)
{
    for (;;) {
        const struct nn_layer *layer = (const struct nn_layer *)receive();
        struct nn_part part = network_part(model, layer, 1);
        layer->run(layer, model->arena, &part);
        __asm__ volatile("" : : : "memory");
        send(0);
    }
}

void second_core_start(const struct nn_model *of)
{
    model = of;
    const uint32_t words[] = {0, 0, 1, REGISTER(VTOR), (uint32_t)stack1_top, (uint32_t)run_parts};
    uint32_t i = 0;
    while (i < sizeof words / sizeof *words) { /* core 1 echoes every word; a wrong echo begins anew */
        if (words[i] == 0) {
            while (REGISTER(SIO_FIFO_ST) & SIO_FIFO_VLD)
                (void)REGISTER(SIO_FIFO_RD);
            __asm__ volatile("sev");
        }
        send(words[i]);
        i = receive() == words[i] ? i + 1 : 0;
    }
}

void second_core_begin(const struct nn_layer *layer)
{
    __asm__ volatile("" : : : "memory");
    send((uint32_t)layer);
}

void second_core_wait(void)
{
    (void)receive();
    __asm__ volatile("" : : : "memory");
}
