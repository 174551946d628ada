/* Every way in which a call stack changes: calls, tail calls, recursion, pointers, switch helpers, interrupts that
   nest and chain, the boot ROM, sleep. Counts are known: fib(10) makes 177 calls, SysTick comes TICKS times. */
#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define ALONE __attribute__((noinline, noclone, used))
#define TICKS 5

volatile uint32_t counter; /* written by count() and by the SysTick handler */
volatile uint8_t bytes[8];
static volatile uint32_t never_written = 3;

ALONE uint32_t fib(uint32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

ALONE uint32_t leaf(uint32_t x)
{
    for (int i = 0; i < 10; i++)
        x = x * 3 + 1;
    return x;
}

uint32_t tail(uint32_t x);
__asm(".syntax unified\n.thumb_func\n.global tail\n.type tail, %function\n"
      "tail:\n  adds r0, #5\n  b leaf\n"
      ".size tail, .-tail\n.syntax divided");

ALONE uint32_t count(uint32_t times)
{
    for (uint32_t i = 0; i < times; i++)
        counter++;
    return counter;
}

ALONE uint32_t choose(uint32_t which)
{
    switch (which) { /* __gnu_thumb1_case_* returns to elsewhere than it was called from */
    case 0: return leaf(1);
    case 1: return never_written + 7;
    case 2: return count(2);
    case 3: return tail(9);
    case 4: return which * 17;
    default: return 0;
    }
}

ALONE uint32_t deep(uint32_t n)
{
    volatile uint32_t room[16];
    room[n & 15] = n;
    return n ? deep(n - 1) + room[n & 15] : count(1);
}

ALONE uint32_t not_called(uint32_t x) { return x + never_written; }

ALONE void pend_sv(void) { bytes[1]++; }

ALONE void sys_tick(void)
{
    counter += 100;
    if (counter > 400)
        REGISTER(0xe000ed04) = 1u << 28; /* PendSV: chained behind this handler */
    if (++bytes[0] == TICKS)
        REGISTER(0xe000e010) = 0;
}

ALONE uint32_t rom_popcount(uint32_t value)
{
    uint16_t *table = (uint16_t *)(uintptr_t)*(volatile uint16_t *)0x14;
    uint32_t (*lookup)(uint16_t *, uint32_t) = (uint32_t(*)(uint16_t *, uint32_t))(uintptr_t)*(volatile uint16_t *)0x18;
    uint32_t (*popcount)(uint32_t) = (uint32_t(*)(uint32_t))(uintptr_t)lookup(table, 'P' | '3' << 8);
    return popcount(value);
}

ALONE int main(void)
{
    uint32_t (*volatile pointer)(uint32_t) = leaf;
    uint32_t sum = fib(10);

    REGISTER(0xe000e014) = 499;
    REGISTER(0xe000e018) = 0;
    REGISTER(0xe000e010) = 7;
    for (uint32_t i = 0; i < 6; i++)
        sum += choose(i);
    sum += pointer(2);
    sum += deep(6);
    sum += rom_popcount(0xf0f0);
    while (bytes[0] < TICKS)
        __asm volatile("wfi");
    register uint32_t result __asm("r0") = sum;
    __asm volatile("bkpt #0" ::"r"(result));
    return 0;
}

extern uint32_t bss_start, bss_end;

void reset(void)
{
    for (volatile uint32_t *at = &bss_start; at < &bss_end; at++)
        *at = 0;
    main();
    for (;;) {
    }
}

ALONE void hard_fault(void) { __asm volatile("bkpt #99"); }

__attribute__((section(".vectors"), used)) const void *vectors[48] = {
    [0] = (void *)0x20040000, [1] = reset, [3] = hard_fault, [14] = pend_sv, [15] = sys_tick};
