/* Text over UART0, GPIO 0 (TX) and 1 (RX), polled. */
#ifndef EXAMPLES_CONSOLE_H
#define EXAMPLES_CONSOLE_H

#include <stdint.h>

#define CONSOLE_BAUD 115200u

/* clk_sys and clk_peri at 125 MHz, then UART0 8N1 with FIFOs. */
void console_start(void);

void console_byte(uint8_t byte);
void console_text(const char *text);
void console_number(uint32_t value); /* decimal */
void console_hex(uint32_t value);    /* 8 digits */

/* Next received byte, -1 when none waits. */
int console_read(void);

/* Wait until the last stop bit is out. */
void console_flush(void);

#endif
