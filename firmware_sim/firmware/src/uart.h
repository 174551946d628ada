/* UART0 on GPIO 0 (TX) and 1 (RX), 8N1 at CW_BAUD. */
#ifndef CRUSTWATCH_UART_H
#define CRUSTWATCH_UART_H

#include <stdbool.h>
#include <stdint.h>

void uart_start(void);

/* Received bytes, at most `count`. Returns how many. */
uint32_t uart_read(uint8_t *bytes, uint32_t count);

/* Whether bytes were lost, because the ring or the chip's FIFO was full, since this was last asked. */
bool uart_overrun(void);

/* Waits until all bytes are in the transmit FIFO. */
void uart_write(const uint8_t *bytes, uint32_t count);

/* Sleep until an interrupt, unless bytes are waiting. */
void uart_wait(void);

void uart0_interrupt(void);

#endif
