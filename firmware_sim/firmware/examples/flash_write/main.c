/* A counter in flash that no power cut loses: prints it, then counts 40 further. Runs from flash. */
#include "console.h"
#include "counter.h"
#include "flash.h"

#define ROUNDS 40u

int main(void)
{
    console_start();
    flash_start();
    uint32_t value = counter_load();
    console_text("found ");
    console_number(value);
    console_text("\n");
    for (uint32_t i = 0; i < ROUNDS; i++) {
        counter_store(++value);
        console_text("stored ");
        console_number(value);
        console_text("\n");
        console_flush(); /* what was said is stored, and what is stored was said */
    }
    return (int)value;
}
