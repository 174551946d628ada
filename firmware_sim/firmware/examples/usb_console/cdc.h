/* A CDC-ACM serial port over USB: one configuration, interrupt-driven, single-buffered endpoints. */
#ifndef USB_CONSOLE_CDC_H
#define USB_CONSOLE_CDC_H

#include <stdbool.h>
#include <stdint.h>

/* clk_usb at 48 MHz, the controller on, the pull-up in. */
void cdc_start(void);

/* A terminal has opened the port (DTR). */
bool cdc_open(void);

/* Received bytes, at most `count`. Returns how many. */
uint32_t cdc_read(uint8_t *bytes, uint32_t count);

/* Waits until the bytes are in the send ring; drops them while no terminal is there. */
void cdc_write(const uint8_t *bytes, uint32_t count);

/* Waits until the host has taken everything. */
void cdc_flush(void);

/* Sleep until something happened on the bus since the last call of this function, or bytes are there to read. */
void cdc_wait(void);

#endif
