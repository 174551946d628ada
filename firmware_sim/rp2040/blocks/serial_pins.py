"""What the serial blocks put on their pins while nothing is sent. RP2040 datasheet 1.4.3, "GPIO functions".

Their bits are modelled as whole characters, words and bytes, so the pins keep these levels while something is sent.
"""

from __future__ import annotations

from firmware_sim.rp2040.layout import PIN_FUNCTION, PIN_OE, PIN_OUT, State

SPI, UART, I2C, USB = 1, 2, 3, 9  # functions; I2C only ever pulls down
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


def i2c_pins_missing(S: State, index: int) -> str:
    """What a board would lack for I2C0 or I2C1 to reach anybody; empty when it has SDA and SCL."""
    places = {"SDA": 2 * index, "SCL": 2 * index + 1}
    return _missing(S, I2C, {name: [pin for pin in PINS if pin % 4 == place] for name, place in places.items()})


def spi_pins_missing(S: State, index: int) -> str:
    """What a board would lack for SPI0 or SPI1 to clock anybody; empty when it has SCK."""
    return _missing(S, SPI, {"SCK": [pin for pin in PINS if pin % 4 == 2 and pin >> 3 & 1 == index]})


def _missing(S: State, function: int, signals: dict[str, list[int]]) -> str:
    chosen = int(S[PIN_FUNCTION + function])
    return " and ".join(name for name, pins in signals.items() if not any(chosen >> pin & 1 for pin in pins))
