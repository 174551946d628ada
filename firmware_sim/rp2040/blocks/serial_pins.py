"""What the serial blocks put on their pins while nothing is sent. RP2040 datasheet 1.4.3, "GPIO functions".

Their bits are modelled as whole characters, words and bytes, so the pins keep these levels while something is sent.
"""

from __future__ import annotations

from firmware_sim.rp2040.layout import PIN_OE, PIN_OUT, State

SPI, UART, USB = 1, 2, 9  # functions; I2C (3) only ever pulls down
PINS = range(30)
SPI_CS, SPI_SCK, SPI_TX = (sum(1 << pin for pin in PINS if pin % 4 == place) for place in (1, 2, 3))
UART_TX = sum(1 << pin for pin in PINS if pin % 4 == 0)
UART_RTS = sum(1 << pin for pin in PINS if pin % 4 == 3)
USB_VBUS_EN = sum(1 << pin for pin in PINS if pin % 3 == 2)


def set_idle_levels(S: State) -> None:
    """Chip select, UART TX and RTS high, SPI clock and data low."""
    S[PIN_OE + SPI], S[PIN_OUT + SPI] = SPI_CS | SPI_SCK | SPI_TX, SPI_CS
    S[PIN_OE + UART], S[PIN_OUT + UART] = UART_TX | UART_RTS, UART_TX | UART_RTS
    S[PIN_OE + USB], S[PIN_OUT + USB] = USB_VBUS_EN, 0
