"""DMA paced by the requests of UART, SPI and I2C: whole transfers without the processor. RP2040 datasheet 2.5.3."""

from __future__ import annotations

from typing import Any

import pytest

from firmware_sim.rp2040 import I2cRegisters

DMA, CLK_PERI_CTRL, IO_BANK0, RESETS_CLEAR = 0x50000000, 0x40008048, 0x40014000, 0x4000F000
UART0, UART1, SPI0, SPI1, I2C0, I2C1 = 0x40034000, 0x40038000, 0x4003C000, 0x40040000, 0x40044000, 0x40048000
SOURCE, TARGET = 0x20008000, 0x2000A000
BYTE, HALF = 0, 1
START = [(RESETS_CLEAR, 0x1FFFFFF), (CLK_PERI_CTRL, 0x800)]


def channel(
    number: int, source: int, target: int, count: int, request: int, size: int = BYTE, *, to_memory: bool
) -> list[tuple[int, ...]]:
    at = DMA + 0x40 * number
    control = 1 | size << 2 | (0x20 if to_memory else 0x10) | number << 11 | request << 15
    return [(at, source), (at + 4, target), (at + 8, count), (at + 12, control)]


@pytest.mark.parametrize(("base", "request_tx"), [(UART0, 20), (UART1, 22)])
def test_uart_loops_back_by_dma(bus_probe: Any, base: int, request_tx: int) -> None:
    data = bytes(range(200))
    bus_probe.board.write_memory(SOURCE, data)
    bus_probe.run(
        *START,
        *[(base + 0x24, 1), (base + 0x28, 0), (base + 0x2C, 0x70), (base + 0x30, 0x381), (base + 0x48, 3)],
        *channel(1, base, TARGET, len(data), request_tx + 1, to_memory=True),
        *channel(0, SOURCE, base, len(data), request_tx, to_memory=False),
        (len(data) + 3) * 160,
    )
    assert bus_probe.board.read_memory(TARGET, len(data)) == data


@pytest.mark.parametrize(("base", "request_tx"), [(SPI0, 16), (SPI1, 18)])
def test_spi_exchanges_by_dma(bus_probe: Any, base: int, request_tx: int) -> None:
    data = bytes(range(1, 151))

    class Next:
        def exchange(self, word: int) -> int:
            return word + 1

    (bus_probe.board.spi0 if base == SPI0 else bus_probe.board.spi1).attach(Next())
    bus_probe.board.write_memory(SOURCE, data)
    bus_probe.run(
        *START,
        *[(base + 0x10, 4), (base, 0x87), (base + 4, 2), (base + 0x24, 3)],
        *channel(1, base + 8, TARGET, len(data), request_tx + 1, to_memory=True),
        *channel(0, SOURCE, base + 8, len(data), request_tx, to_memory=False),
        (len(data) + 2) * 32,
    )
    assert bus_probe.board.read_memory(TARGET, len(data)) == bytes(byte + 1 for byte in data)
    assert bus_probe.run((base + 0x18,))[0] & 1 == 0, "no overrun: the DMA keeps up"


@pytest.mark.parametrize(("base", "request_tx"), [(I2C0, 32), (I2C1, 34)])
def test_i2c_reads_a_sensor_by_dma(bus_probe: Any, base: int, request_tx: int) -> None:
    values = {i: (i * 37) & 0xFF for i in range(40)}
    (bus_probe.board.i2c0 if base == I2C0 else bus_probe.board.i2c1).attach(0x50, I2cRegisters(values))
    commands = [0, 0x500, *[0x100] * 38, 0x300]
    bus_probe.board.write_memory(SOURCE, b"".join(word.to_bytes(2, "little") for word in commands))
    bus_probe.run(
        *START,
        *[(base + 0x6C, 0), (base + 4, 0x50), (base + 0x88, 3), (base + 0x8C, 8), (base + 0x6C, 1)],
        *channel(1, base + 0x10, TARGET, 40, request_tx + 1, to_memory=True),
        *channel(0, SOURCE, base + 0x10, len(commands), request_tx, HALF, to_memory=False),
        45 * 9 * 40,
    )
    assert bus_probe.board.read_memory(TARGET, 40) == bytes(values.values())
    assert bus_probe.run((base + 0x34,))[0] & 0x24B == 0x200, "stopped, without overflow or abort"
