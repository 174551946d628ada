#include "uart.h"

#include "clocks.h"
#include "protocol.h"
#include "registers.h"

/* 22 ms of line at 921,600 baud: longer than any layer of a small model runs between two reads. */
#define RING_BYTES 2048u

/* One writer (the interrupt moves `head`), one reader (`tail`); both count up and wrap at 2^32. */
static uint8_t ring[RING_BYTES];
static volatile uint32_t head, tail;
static volatile bool lost;

void uart_start(void)
{
    clocks_reset(RESETS_IO_BANK0 | RESETS_PADS_BANK0 | RESETS_UART0);
    uint32_t divisor = (8u * SYS_HZ / CW_BAUD + 1u) / 2u; /* in 1/64, rounded */
    REGISTER(UART0_IBRD) = divisor / 64u;
    REGISTER(UART0_FBRD) = divisor % 64u;
    REGISTER(UART0_LCR_H) = UART_LCR_8_BITS | UART_LCR_FIFO; /* also latches the divisor */
    REGISTER(UART0_IFLS) = UART_IFLS_RX_HALF;
    REGISTER(UART0_IMSC) = UART_INT_RX | UART_INT_RX_TIMEOUT;
    REGISTER(UART0_CR) = UART_CR_ENABLE | UART_CR_TX | UART_CR_RX;
    REGISTER(IO_BANK0_GPIO_CTRL(0)) = GPIO_FUNCTION_UART;
    REGISTER(IO_BANK0_GPIO_CTRL(1)) = GPIO_FUNCTION_UART;
    REGISTER(NVIC_ICPR) = 1u << UART0_IRQ;
    REGISTER(NVIC_ISER) = 1u << UART0_IRQ;
}

void uart0_interrupt(void)
{
    while (!(REGISTER(UART0_FR) & UART_FR_RX_EMPTY)) {
        uint32_t data = REGISTER(UART0_DR);
        if (data & UART_DR_OVERRUN)
            lost = true;
        if (data & UART_DR_BREAK)
            continue; /* an unplugged line, not a byte; wrong parity or stop bits are left to the CRC */
        if (head - tail == RING_BYTES) {
            lost = true;
            continue;
        }
        ring[head % RING_BYTES] = (uint8_t)data;
        head++;
    }
    REGISTER(UART0_ICR) = UART_INT_RX_TIMEOUT;
}

uint32_t uart_read(uint8_t *bytes, uint32_t count)
{
    uint32_t available = head - tail;
    count = available < count ? available : count;
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = ring[(tail + i) % RING_BYTES];
    tail += count;
    return count;
}

bool uart_overrun(void)
{
    bool was = lost;
    if (was)
        lost = false;
    return was;
}

void uart_write(const uint8_t *bytes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        while (REGISTER(UART0_FR) & UART_FR_TX_FULL)
            ;
        REGISTER(UART0_DR) = bytes[i];
    }
}

void uart_wait(void)
{
    /* With interrupts masked none can slip in between the test and WFI; a pending one still ends WFI. */
    __asm__ volatile("cpsid i" ::: "memory");
    if (head == tail)
        __asm__ volatile("wfi" ::: "memory");
    __asm__ volatile("cpsie i" ::: "memory");
}
