/* Launches core 1, then both cores play ping-pong through FIFOs and memory, share a spinlock, and sum an array. */
#include "console.h"
#include "registers.h"
#include "sio.h"

#define ROUNDS 200u
#define TURNS 300u
#define WORDS 2048u

extern uint32_t vectors[], stack1_top[];

static uint32_t numbers[WORDS];
static volatile uint32_t ball, counter, sums[2];

static void fifo_write(uint32_t value)
{
    while (!(REGISTER(SIO_FIFO_ST) & SIO_FIFO_RDY))
        ;
    REGISTER(SIO_FIFO_WR) = value;
    __asm__ volatile("sev");
}

static uint32_t fifo_read(void)
{
    while (!(REGISTER(SIO_FIFO_ST) & SIO_FIFO_VLD))
        __asm__ volatile("wfe");
    return REGISTER(SIO_FIFO_RD);
}

/* The boot ROM's protocol (datasheet 2.8.2): core 1 echoes every word, a wrong echo begins anew. */
static void launch(void (*entry)(void))
{
    const uint32_t words[6] = {0, 0, 1, (uint32_t)vectors, (uint32_t)stack1_top, (uint32_t)entry};
    uint32_t i = 0;
    while (i < 6) {
        if (words[i] == 0) {
            while (REGISTER(SIO_FIFO_ST) & SIO_FIFO_VLD)
                (void)REGISTER(SIO_FIFO_RD);
            __asm__ volatile("sev");
        }
        fifo_write(words[i]);
        i = fifo_read() == words[i] ? i + 1 : 0;
    }
}

static void add_under_lock(void)
{
    for (uint32_t i = 0; i < TURNS; i++) {
        while (!REGISTER(SIO_SPINLOCK(7)))
            ;
        counter++;
        REGISTER(SIO_SPINLOCK(7)) = 0;
    }
}

static uint32_t sum(uint32_t first)
{
    uint32_t total = 0;
    for (uint32_t i = first; i < WORDS; i += 2)
        total += numbers[i] * numbers[i];
    return total;
}

static void hit(uint32_t parity)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        while ((ball & 1u) != parity)
            ;
        ball++;
    }
}

static void core1(void)
{
    for (uint32_t i = 0; i < ROUNDS; i++)
        fifo_write(fifo_read() + 1u);
    hit(1);
    add_under_lock();
    sums[1] = sum(1);
    fifo_write(REGISTER(SIO_CPUID));
    for (;;)
        __asm__ volatile("wfe");
}

int main(void)
{
    console_start();
    uint32_t x = 1;
    for (uint32_t i = 0; i < WORDS; i++) {
        x = x * 1664525u + 1013904223u;
        numbers[i] = x >> 24;
    }
    launch(core1);
    uint32_t word = 0;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        fifo_write(word);
        word = fifo_read();
    }
    hit(0);
    add_under_lock();
    sums[0] = sum(0);
    uint32_t id = fifo_read();
    console_text("fifo ");
    console_number(word);
    console_text(" ball ");
    console_number(ball);
    console_text(" counter ");
    console_number(counter);
    console_text(" sum ");
    console_number(sums[0] + sums[1]);
    console_text(" core ");
    console_number(id);
    console_text("\n");
    console_flush();
    return (int)(sums[0] + sums[1]);
}
