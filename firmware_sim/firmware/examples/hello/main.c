/* Prints a line over UART0, then echoes what it receives, in upper case, until a full stop. */
#include "console.h"

int main(void)
{
    console_start();
    console_text("hello from the RP2040\n");
    for (;;) {
        int byte = console_read();
        if (byte < 0)
            continue;
        console_byte((uint8_t)(byte >= 'a' && byte <= 'z' ? byte - 32 : byte));
        if (byte == '.')
            break;
    }
    console_flush();
    return 0;
}
