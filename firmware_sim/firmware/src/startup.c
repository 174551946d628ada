/* From the second stage to main: vectors, memory, stack marking. reset() alone runs from flash; the rest of the
 * program is copied to SRAM, so that no instruction waits for the flash and none depends on it. */
#include <stdint.h>

#include "registers.h"
#include "stack.h"

extern uint32_t data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_low[], stack_top[];

int main(void);
void reset(void);
static void fault(void);
void uart0_interrupt(void); /* of uart.c, in a program that has it */

#define VECTORS (16 + 32)

typedef void (*handler)(void);

struct vector_table {
    uint32_t *initial_stack;
    handler handlers[VECTORS - 1]; /* exceptions 1 to 15, then the 32 interrupts */
};

/* VTOR wants the table aligned to 256 bytes. The one in flash serves the reset; the one in SRAM everything else. */
#define UART0_HANDLER (15 + UART0_IRQ)
#define TABLE                                                                                                         \
    {                                                                                                                 \
        .initial_stack = stack_top,                                                                                   \
        .handlers = {                                                                                                 \
            [0] = reset,                                                                                              \
            [1 ... UART0_HANDLER - 1] = fault,                                                                        \
            [UART0_HANDLER] = uart0_interrupt,                                                                        \
            [UART0_HANDLER + 1 ... VECTORS - 2] = fault,                                                              \
        },                                                                                                            \
    }

__attribute__((section(".vectors"), used)) static const struct vector_table flash_vectors = TABLE;
static struct vector_table vectors __attribute__((section(".data.vectors"), aligned(256))) = TABLE;

/* A fault, or an interrupt that nobody enabled: the program is broken, so begin again. The host sees the uptime. */
static void fault(void)
{
    REGISTER(AIRCR) = AIRCR_RESET_REQUEST;
    for (;;)
        ;
}

__attribute__((weak)) void uart0_interrupt(void)
{
    fault();
}

uint32_t stack_bytes_used(void)
{
    const uint32_t *p = stack_low;
    while (p < stack_top && *p == STACK_MARK)
        p++;
    return (uint32_t)(stack_top - p) * sizeof *p;
}

/* Entered from the second stage with the stack pointer at stack_top. No memory is initialised yet and no other
 * function is in SRAM yet; the Makefile keeps the compiler from calling memcpy or memset here. */
__attribute__((section(".flash_text"), noreturn)) void reset(void)
{
    const uint32_t *in = data_load;
    for (uint32_t *out = data_start; out < data_end;)
        *out++ = *in++;
    for (uint32_t *out = bss_start; out < bss_end;)
        *out++ = 0;
    uint32_t *stack_pointer;
    __asm__ volatile("mov %0, sp" : "=r"(stack_pointer));
    for (uint32_t *out = stack_low; out < stack_pointer;)
        *out++ = STACK_MARK;
    REGISTER(VTOR) = (uint32_t)&vectors;
    main();
    for (;;)
        ;
}
