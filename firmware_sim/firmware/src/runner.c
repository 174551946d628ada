/* The program of a model without the serial service: a debugger, or the emulator, puts an input in and lets it run.
 *
 * It stops at `bkpt 1` with the mailbox's address in r0, once before the first inference and after each. */
#include <stddef.h>

#include "clocks.h"
#include "network.h"
#include "second_core.h"
#include "stack.h"

#define RUNNER_MAX_LAYERS 256

struct mailbox {
    void *input;
    const void *output; /* NULL before the first inference */
    uint32_t layers;    /* entries of `cycles` that count */
    uint32_t stack_bytes;
    uint32_t cycles[RUNNER_MAX_LAYERS]; /* of each layer */
};

static struct mailbox mailbox;
static uint64_t layer_start;

static void note_layer(void *context)
{
    (void)context;
    uint64_t now = clocks_cycles();
    if (mailbox.layers < RUNNER_MAX_LAYERS)
        mailbox.cycles[mailbox.layers++] = (uint32_t)(now - layer_start);
    layer_start = clocks_cycles();
}

static void wait(void)
{
    register struct mailbox *r0 __asm__("r0") = &mailbox;
    __asm__ volatile("bkpt 1" : : "r"(r0) : "memory");
}

int main(void)
{
    clocks_start();
    if (nn_model.cores > 1)
        second_core_start(&nn_model);
    mailbox.input = network_frame(&nn_model);
    for (;;) {
        wait();
        mailbox.layers = 0;
        layer_start = clocks_cycles();
        mailbox.output = network_run(&nn_model, note_layer, NULL);
        mailbox.stack_bytes = stack_bytes_used();
    }
}
