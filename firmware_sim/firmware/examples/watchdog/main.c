/* Lets the watchdog bite, comes up again, and says why and what its scratch registers kept. */
#include "console.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define PSM_WDSEL REGISTER(0x40010008u)
#define WATCHDOG_CTRL REGISTER(0x40058000u)
#define WATCHDOG_LOAD REGISTER(0x40058004u)
#define WATCHDOG_REASON REGISTER(0x40058008u)
#define WATCHDOG_SCRATCH0 REGISTER(0x4005800cu)
#define WATCHDOG_SCRATCH1 REGISTER(0x40058010u)

#define MAGIC 0x70697a7au
#define ALL_BUT_THE_OSCILLATORS 0x1fffcu
#define ENABLE (1u << 30)
#define TRIGGER (1u << 31)
#define BITE_US 2000u /* erratum RP2040-E1: the counter falls by two a microsecond */

int main(void)
{
    console_start();
    if (WATCHDOG_REASON == 0 || WATCHDOG_SCRATCH0 != MAGIC) {
        console_text("power on\n");
        WATCHDOG_SCRATCH0 = MAGIC;
        WATCHDOG_SCRATCH1 = 0;
    }
    uint32_t starts = ++WATCHDOG_SCRATCH1;
    console_text("start ");
    console_number(starts);
    console_text(", reason ");
    console_text(WATCHDOG_REASON & 2u ? "force" : WATCHDOG_REASON & 1u ? "timer" : "none");
    console_text("\n");
    console_flush();
    if (starts == 3)
        return (int)starts;
    PSM_WDSEL = ALL_BUT_THE_OSCILLATORS;
    if (starts == 1) {
        WATCHDOG_LOAD = 2u * BITE_US;
        WATCHDOG_CTRL = ENABLE;
    } else {
        WATCHDOG_CTRL = TRIGGER;
    }
    for (;;) { /* nobody feeds it */
    }
}
