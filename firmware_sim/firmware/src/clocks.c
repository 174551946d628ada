#include "clocks.h"

#include "registers.h"

#ifndef PLL_FEEDBACK
#define PLL_FEEDBACK 125u /* VCO: 12 MHz * 125 = 1500 MHz, within 750..1600 */
#define PLL_POSTDIV1 6u
#define PLL_POSTDIV2 2u
#endif
_Static_assert(XOSC_HZ * (uint64_t)PLL_FEEDBACK == (uint64_t)SYS_HZ * (PLL_POSTDIV1 * PLL_POSTDIV2), "PLL settings give SYS_HZ");

#define XOSC_STARTUP_MS 1u
#define SYSTICK_MASK 0xffffffu /* 24 bits: wraps every 134 ms */

void clocks_reset(uint32_t resets)
{
    SET_ALIAS(RESETS_RESET) = resets;
    CLEAR_ALIAS(RESETS_RESET) = resets;
    while (~REGISTER(RESETS_RESET_DONE) & resets)
        ;
}

static void start_crystal(void)
{
    REGISTER(XOSC_CTRL) = XOSC_CTRL_1_15MHZ;
    REGISTER(XOSC_STARTUP) = (XOSC_HZ / 1000u * XOSC_STARTUP_MS + 128u) / 256u;
    SET_ALIAS(XOSC_CTRL) = XOSC_CTRL_ENABLE;
    while (!(REGISTER(XOSC_STATUS) & XOSC_STATUS_STABLE))
        ;
}

static void start_pll(void)
{
    clocks_reset(RESETS_PLL_SYS);
    REGISTER(PLL_SYS_CS) = 1; /* reference divider */
    REGISTER(PLL_SYS_FBDIV_INT) = PLL_FEEDBACK;
    CLEAR_ALIAS(PLL_SYS_PWR) = PLL_PWR_PD | PLL_PWR_VCOPD;
    while (!(REGISTER(PLL_SYS_CS) & PLL_CS_LOCK))
        ;
    REGISTER(PLL_SYS_PRIM) = PLL_PRIM_POSTDIV1(PLL_POSTDIV1) | PLL_PRIM_POSTDIV2(PLL_POSTDIV2);
    CLEAR_ALIAS(PLL_SYS_PWR) = PLL_PWR_POSTDIVPD;
}

void clocks_start(void)
{
    /* After a warm reset clk_sys may still run from the PLL, which must not stop under it. */
    REGISTER(CLK_SYS_CTRL) = CLK_SYS_SRC_REF;
    while (REGISTER(CLK_SYS_SELECTED) != 1u << CLK_SYS_SRC_REF)
        ;
    start_crystal();
    REGISTER(CLK_REF_CTRL) = CLK_REF_SRC_XOSC;
    while (REGISTER(CLK_REF_SELECTED) != 1u << CLK_REF_SRC_XOSC)
        ;
    start_pll();
    REGISTER(CLK_SYS_CTRL) = CLK_SYS_SRC_AUX;
    while (REGISTER(CLK_SYS_SELECTED) != 1u << CLK_SYS_SRC_AUX)
        ;
    REGISTER(CLK_PERI_CTRL) = CLK_PERI_ENABLE;

    REGISTER(WATCHDOG_TICK) = WATCHDOG_TICK_ENABLE | XOSC_HZ / 1000000u;
    clocks_reset(RESETS_TIMER);
    REGISTER(SYST_RVR) = SYSTICK_MASK;
    REGISTER(SYST_CVR) = 0;
    REGISTER(SYST_CSR) = SYST_CSR_ENABLE | SYST_CSR_PROCESSOR_CLOCK;
}

uint64_t clocks_now_us(void)
{
    uint32_t high = REGISTER(TIMER_TIMERAWH);
    for (;;) {
        uint32_t low = REGISTER(TIMER_TIMERAWL);
        uint32_t again = REGISTER(TIMER_TIMERAWH);
        if (again == high)
            return (uint64_t)high << 32 | low;
        high = again;
    }
}

/* SysTick gives the low 24 bits exactly. The timer, which started with it and runs from the same crystal, is good to
 * some hundred cycles and says which of the numbers with these bits it is: the one nearest to its own. */
uint64_t clocks_cycles(void)
{
    uint32_t ticks = SYSTICK_MASK - REGISTER(SYST_CVR);
    uint64_t estimate = clocks_now_us() * (SYS_HZ / 1000000u);
    int32_t difference = (int32_t)((ticks - (uint32_t)estimate) << 8) >> 8; /* modulo 2^24, signed */
    return estimate + (uint64_t)(int64_t)difference;
}
