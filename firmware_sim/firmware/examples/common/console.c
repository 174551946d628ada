#include "console.h"

#include "clocks.h"
#include "registers.h"

#define UART_FR_BUSY (1u << 3)

void console_start(void)
{
    clocks_start();
    clocks_reset(RESETS_IO_BANK0 | RESETS_PADS_BANK0 | RESETS_UART0);
    uint32_t divisor = (8u * SYS_HZ / CONSOLE_BAUD + 1u) / 2u; /* in 1/64, rounded */
    REGISTER(UART0_IBRD) = divisor / 64u;
    REGISTER(UART0_FBRD) = divisor % 64u;
    REGISTER(UART0_LCR_H) = UART_LCR_8_BITS | UART_LCR_FIFO; /* also latches the divisor */
    REGISTER(UART0_CR) = UART_CR_ENABLE | UART_CR_TX | UART_CR_RX;
    REGISTER(IO_BANK0_GPIO_CTRL(0)) = GPIO_FUNCTION_UART;
    REGISTER(IO_BANK0_GPIO_CTRL(1)) = GPIO_FUNCTION_UART;
}

void console_byte(uint8_t byte)
{
    while (REGISTER(UART0_FR) & UART_FR_TX_FULL)
        ;
    REGISTER(UART0_DR) = byte;
}

void console_text(const char *text)
{
    while (*text)
        console_byte((uint8_t)*text++);
}

void console_number(uint32_t value)
{
    char digits[10];
    uint32_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10u);
        value /= 10u;
    } while (value);
    while (count)
        console_byte((uint8_t)digits[--count]);
}

void console_hex(uint32_t value)
{
    for (int shift = 28; shift >= 0; shift -= 4)
        console_byte((uint8_t)"0123456789abcdef"[value >> shift & 15u]);
}

int console_read(void)
{
    if (REGISTER(UART0_FR) & UART_FR_RX_EMPTY)
        return -1;
    return (int)(REGISTER(UART0_DR) & 0xffu);
}

void console_flush(void)
{
    while (REGISTER(UART0_FR) & UART_FR_BUSY)
        ;
}
