"""I2C0 and I2C1 (DW_apb_i2c) as master and slave, against plain models. RP2040 datasheet 4.3."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040 import Board, I2cRegisters
from firmware_sim.rp2040.blocks.i2c import CLEARS, REGISTERS, I2c
from firmware_sim.rp2040.layout import DREQ_LEVEL, LINES
from shared.errors import BadInputError

I2C0 = 0x40044000
READ, STOP, RESTART = 0x100, 0x200, 0x400
RX_UNDER, RX_OVER, RX_FULL, TX_OVER, TX_EMPTY, RD_REQ, TX_ABRT, RX_DONE = (1 << bit for bit in range(8))
STOP_DET, START_DET, GEN_CALL, RESTART_DET = (1 << bit for bit in (9, 10, 11, 12))


class Log:
    """A device that writes down what happens to it and sends 0x80, 0x81, ..."""

    remembers = ("events", "next")

    def __init__(self, refuses: int = -1, asleep: bool = False) -> None:
        self.events: list[Any] = []
        self.next = 0x80
        self.refuses = refuses
        self.asleep = asleep

    def start(self, is_read: bool) -> bool:
        self.events.append("read" if is_read else "write")
        return not self.asleep

    def write(self, byte: int) -> bool:
        self.events.append(byte)
        return byte != self.refuses

    def read(self) -> int:
        self.next = (self.next + 1) & 0xFF
        self.events.append("sent")
        return (self.next - 1) & 0xFF

    def stop(self) -> None:
        self.events.append("stop")


class Bench:
    """A controller driven by hand: registers at a cycle that the test moves."""

    def __init__(self) -> None:
        self.board = Board()
        self.chip = self.board.chip
        self.block = self.chip.blocks["I2C0"]
        assert isinstance(self.block, I2c)
        self.cycle = 0

    def write(self, name: str, value: int) -> None:
        self.chip._now = self.cycle
        self.block.store(REGISTERS[name].offset, value, self.cycle)

    def read(self, name: str) -> int:
        self.chip._now = self.cycle
        return self.block.load(REGISTERS[name].offset, False)

    def run(self, cycles: int) -> None:
        self.cycle += cycles
        self.block.due(self.cycle)

    def settle(self) -> None:
        while (event := self.block.next_event()) is not None:
            self.cycle = max(self.cycle, event)
            self.block.due(self.cycle)

    def enable(self, address: int, con: int = 0x165) -> None:
        self.write("IC_ENABLE", 0)
        self.write("IC_CON", con)
        self.write("IC_TAR", address)
        self.write("IC_ENABLE", 1)


def expected_of(commands: list[int]) -> tuple[list[Any], list[int]]:
    """What the device sees and the master receives, from the words of the datasheet."""
    events: list[Any] = []
    received: list[int] = []
    active, direction, sent, first = False, None, 0x80, False
    for command in commands:
        is_read = bool(command & READ)
        if not active or command & RESTART or is_read != direction:
            events.append("read" if is_read else "write")
            active, direction, first = True, is_read, True
        if is_read:
            events.append("sent")
            received.append(sent & 0xFF | (0x800 if first else 0))
            sent += 1
        else:
            events.append(command & 0xFF)
        first = False
        if command & STOP:
            events.append("stop")
            active = False
    return events, received


commands = st.lists(
    st.builds(
        lambda byte, read, stop, restart: byte | READ * read | STOP * stop | RESTART * restart,
        st.integers(0, 255),
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(commands, st.lists(st.integers(0, 20_000), min_size=14, max_size=14))
def test_commands_become_transfers(words: list[int], pauses: list[int]) -> None:
    """Whenever the commands come, the bus sees the same: SCL is held between them."""
    bench = Bench()
    device = bench.board.i2c0.attach(0x42, Log())
    bench.enable(0x42)
    for word, pause in zip(words, pauses, strict=False):
        bench.write("IC_DATA_CMD", word)
        bench.run(pause)
    bench.settle()
    events, received = expected_of(words)
    assert device.events == events
    assert bench.read("IC_RXFLR") == len(received)
    assert [bench.read("IC_DATA_CMD") for _ in received] == received
    assert bench.read("IC_TX_ABRT_SOURCE") == 0
    assert bool(bench.read("IC_STATUS") & 0x20) == (events[-1] != "stop"), "the bus is held without a STOP"


@settings(max_examples=100, deadline=None)
@given(commands, st.integers(0, 255))
def test_a_refused_byte_aborts(words: list[int], refused: int) -> None:
    bench = Bench()
    device = bench.board.i2c0.attach(0x42, Log(refuses=refused))
    bench.enable(0x42)
    for word in words:
        bench.write("IC_DATA_CMD", word)
    bench.settle()
    events, received = expected_of(words)
    if refused in events:
        at = events.index(refused)
        assert device.events == [*events[: at + 1], "stop"]
        written = [i for i, word in enumerate(words) if not word & READ and word & 0xFF == refused]
        assert bench.read("IC_TX_ABRT_SOURCE") == 1 << 3 | (len(words) - written[0] - 1) << 23
        assert bench.read("IC_RAW_INTR_STAT") & (TX_ABRT | STOP_DET) == TX_ABRT | STOP_DET
        bench.write("IC_DATA_CMD", 1)
        assert bench.read("IC_TXFLR") == 0, "held empty until the abort is cleared"
        assert bench.read("IC_CLR_TX_ABRT") == 1
        bench.write("IC_DATA_CMD", 1 ^ refused & 1)
        assert bench.read("IC_STATUS") & 0x20
        assert bench.read("IC_TX_ABRT_SOURCE") == 0
    else:
        assert device.events == events
        assert bench.read("IC_RXFLR") == len(received)


@pytest.mark.parametrize(
    ("con", "target", "devices", "command", "source"),
    [
        (0x65, 0x11, [], 0, 1 << 0),
        (0x75, 0x211, [], 0, 1 << 1),
        (0x75, 0x211, [(0x2FF, True)], 0, 1 << 2),
        (0x65, 0x800, [], 0, 1 << 4),
        (0x65, 0x800, [(0, False)], READ, 1 << 5),
        (0x45, 0xC11, [(0x11, False)], 0, 1 << 9),
        (0x55, 0x211, [(0x211, True)], READ, 1 << 10),
        (0x64, 0x11, [(0x11, False)], 0, 1 << 11),
    ],
)
def test_abort_sources(con: int, target: int, devices: list[tuple[int, bool]], command: int, source: int) -> None:
    bench = Bench()
    for address, ten_bit in devices:
        bench.board.i2c0.attach(address, Log(), ten_bit=ten_bit)
    bench.enable(target, con)
    bench.write("IC_DATA_CMD", command | STOP)
    bench.settle()
    assert bench.read("IC_TX_ABRT_SOURCE") & 0x1FFFF == source
    assert bench.read("IC_RAW_INTR_STAT") & TX_ABRT


@pytest.mark.parametrize("ten_bit", [False, True])
def test_timing_of_a_write(ten_bit: bool) -> None:
    """START, address, data, STOP at the SCL period of datasheet 4.3.14: HCNT + SPKLEN + 7 + LCNT + 1."""
    bench = Bench()
    bench.board.i2c0.attach(0x50, Log(), ten_bit=ten_bit)
    bench.write("IC_FS_SCL_HCNT", 100)
    bench.write("IC_FS_SCL_LCNT", 150)
    bench.enable(0x50, 0x175 if ten_bit else 0x165)
    bench.write("IC_DATA_CMD", 0x12 | STOP)
    bench.settle()
    bits = 1 + 9 * (3 if ten_bit else 2) + 1
    assert bench.cycle == bits * (100 + 7 + 7 + 150 + 1)


def test_timing_of_a_repeated_start_to_a_ten_bit_device() -> None:
    """Only the first address byte is sent again when the direction turns: 10 bits more than a byte costs."""
    bench = Bench()
    bench.board.i2c0.attach(0x250, Log(), ten_bit=True)
    bench.enable(0x250, 0x175)
    bench.write("IC_DATA_CMD", 0x12)
    bench.write("IC_DATA_CMD", READ | STOP)
    bench.settle()
    bit = bench.block.bit_cycles()  # type: ignore[attr-defined]
    assert bench.cycle == (1 + 9 * 3 + 10 + 9 + 1) * bit


def test_interrupt_and_dma_levels() -> None:
    bench = Bench()
    bench.board.i2c0.attach(0x42, Log())
    S = bench.chip.S

    def line() -> int:
        return int(S[LINES]) >> 23 & 1

    def requests() -> int:
        return int(S[DREQ_LEVEL]) >> 32 & 3

    bench.write("IC_TX_TL", 2)
    bench.write("IC_RX_TL", 1)
    bench.write("IC_DMA_TDLR", 3)
    bench.write("IC_DMA_RDLR", 1)
    bench.write("IC_DMA_CR", 3)
    bench.write("IC_INTR_MASK", RX_FULL)
    bench.enable(0x42, 0x65)
    assert (bench.read("IC_RAW_INTR_STAT") & TX_EMPTY, line(), requests()) == (TX_EMPTY, 0, 1)
    for _ in range(4):  # the first one leaves the FIFO at once
        bench.write("IC_DATA_CMD", READ)
    assert (bench.read("IC_TXFLR"), requests()) == (3, 1)
    bench.write("IC_DATA_CMD", READ)
    assert (bench.read("IC_TXFLR"), bench.read("IC_RAW_INTR_STAT") & TX_EMPTY, requests()) == (4, 0, 0)
    bench.settle()
    assert (bench.read("IC_INTR_STAT"), line(), requests()) == (RX_FULL, 1, 3)
    for left in (4, 3, 2, 1, 0):
        bench.read("IC_DATA_CMD")
        assert (line(), requests() >> 1) == (int(left > 1), int(left > 1))
    bench.read("IC_DATA_CMD")
    assert bench.read("IC_RAW_INTR_STAT") & RX_UNDER


@pytest.mark.parametrize("hold", [False, True])
def test_a_full_receive_fifo_overflows_or_holds_the_bus(hold: bool) -> None:
    bench = Bench()
    bench.board.i2c0.attach(0x42, Log())
    bench.enable(0x42, 0x65 | (0x200 if hold else 0))
    for i in range(18):
        bench.write("IC_DATA_CMD", READ)
        bench.settle()
        if i < 16:
            assert bench.read("IC_RXFLR") == i + 1
    assert bool(bench.read("IC_RAW_INTR_STAT") & RX_OVER) != hold
    got = []
    for _ in range(18 if hold else 16):
        got.append(bench.read("IC_DATA_CMD") & 0xFF)
        bench.settle()
    assert got == [0x80 + i for i in range(18 if hold else 16)]


def test_tx_empty_waits_for_the_byte_with_tx_empty_ctrl() -> None:
    """pico-sdk's blocking write relies on it."""
    bench = Bench()
    bench.board.i2c0.attach(0x42, Log())
    bench.enable(0x42, 0x165)
    bench.write("IC_DATA_CMD", 1)
    assert not bench.read("IC_RAW_INTR_STAT") & TX_EMPTY
    bench.settle()
    assert bench.read("IC_RAW_INTR_STAT") & TX_EMPTY


def test_abort_by_software_and_disabling_end_the_transfer() -> None:
    bench = Bench()
    device = bench.board.i2c0.attach(0x42, Log())
    bench.enable(0x42)
    for byte in range(4):
        bench.write("IC_DATA_CMD", byte)
    bench.run(30 * bench.block.bit_cycles())  # type: ignore[attr-defined]
    bench.write("IC_ENABLE", 3)
    assert bench.read("IC_ENABLE") == 3
    bench.settle()
    assert (bench.read("IC_ENABLE"), device.events[-1]) == (1, "stop")
    assert bench.read("IC_TX_ABRT_SOURCE") & 0x1FFFF == 1 << 16
    bench.read("IC_CLR_TX_ABRT")
    bench.write("IC_DATA_CMD", 9)
    bench.write("IC_ENABLE", 0)
    assert bench.read("IC_ENABLE_STATUS") == 1
    bench.settle()
    assert (bench.read("IC_ENABLE_STATUS"), device.events[-1]) == (0, "stop")


def test_registers_that_only_change_while_disabled() -> None:
    bench = Bench()
    bench.enable(0x42)
    for name in ("IC_TAR", "IC_SAR", "IC_CON", "IC_FS_SCL_HCNT", "IC_FS_SPKLEN"):
        before = bench.read(name)
        bench.write(name, 0x33)
        assert bench.read(name) == before
    bench.write("IC_ENABLE", 0)
    bench.write("IC_SS_SCL_LCNT", 1)
    bench.write("IC_CON", 0x67)
    assert (bench.read("IC_SS_SCL_LCNT"), bench.read("IC_CON")) == (8, 0x65)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=14), st.integers(0, 6), st.booleans())
def test_the_chip_as_slave(written: bytes, count: int, ten_bit: bool) -> None:
    """Bytes arrive, requests are answered, and each ends with the interrupts of the datasheet's flow charts."""
    if not written and not count:
        return
    bench = Bench()
    bench.write("IC_SAR", 0x155 if ten_bit else 0x55)
    bench.enable(0, 0x08 if ten_bit else 0x00)
    bench.board.i2c0.transfer(0x155 if ten_bit else 0x55, written, count, ten_bit=ten_bit)
    answers = []
    bench.settle()
    while bench.read("IC_RAW_INTR_STAT") & RD_REQ:
        bench.read("IC_CLR_RD_REQ")
        answers.append(0xA0 + len(answers))
        bench.write("IC_DATA_CMD", answers[-1])
        bench.settle()
    (done,) = bench.board.i2c0.finished()
    assert (done.acknowledged, bytes(done.received)) == (True, bytes(answers))
    assert len(answers) == count
    raw = bench.read("IC_RAW_INTR_STAT")
    assert raw & (START_DET | STOP_DET) == START_DET | STOP_DET
    assert bool(raw & RX_DONE) == (count > 0)
    assert bool(raw & RESTART_DET) == bool(written and count)
    data = [bench.read("IC_DATA_CMD") for _ in range(bench.read("IC_RXFLR"))]
    assert bytes(value & 0xFF for value in data) == written
    assert [value >> 11 for value in data] == [1] + [0] * (len(written) - 1) if written else not data


def test_a_slave_flushes_old_data_and_refuses_other_addresses() -> None:
    bench = Bench()
    bench.enable(0, 0)
    port = bench.board.i2c0
    port.transfer(0x11, b"x")
    bench.settle()
    assert not port.finished()[0].acknowledged
    bench.write("IC_DATA_CMD", 0x99)
    port.transfer(0x55, read=1)
    bench.settle()
    assert bench.read("IC_TX_ABRT_SOURCE") & 0x1FFFF == 1 << 13
    assert bench.read("IC_RAW_INTR_STAT") & (RD_REQ | TX_ABRT) == RD_REQ | TX_ABRT
    bench.read("IC_CLR_TX_ABRT")
    bench.write("IC_DATA_CMD", 0x77)
    bench.settle()
    assert bytes(port.finished()[0].received) == b"\x77"
    port.transfer(0, b"\x06")
    bench.settle()
    assert bench.read("IC_RAW_INTR_STAT") & GEN_CALL


def test_clear_registers_tell_and_clear() -> None:
    bench = Bench()
    for name, bits in CLEARS.items():
        bench.block.raw = 0x1FFF  # type: ignore[attr-defined]
        assert bench.read(name) == 1
        assert bench.block.raw == 0x1FFF & ~bits  # type: ignore[attr-defined]


def test_a_program_reads_a_sensor_and_a_snapshot_repeats_it(bus_probe: Any) -> None:
    """The whole way: stores of the emulated core, time, device, interrupt status, snapshot in mid transfer."""
    board = bus_probe.board
    sensor = board.i2c0.attach(0x30, I2cRegisters({0x0A: 0x26, 0x0B: 0x42}))
    registers = {name: I2C0 + register.offset for name, register in REGISTERS.items()}
    bus_probe.run(
        *[(0x40014004 + 8 * pin, 3) for pin in (4, 5)],
        (registers["IC_ENABLE"], 0),
        (registers["IC_TAR"], 0x30),
        (registers["IC_ENABLE"], 1),
        *[(registers["IC_DATA_CMD"], word) for word in (0x0A, READ | RESTART, READ | STOP, 0x0C, 0x55 | STOP)],
    )
    saved = board.snapshot()
    script = (9_000, (registers["IC_RXFLR"],), *[(registers["IC_DATA_CMD"],)] * 2, (registers["IC_RAW_INTR_STAT"],))
    values = bus_probe.run(*script)
    assert values[:3] == [2, 0x826, 0x42]
    assert values[3] & (STOP_DET | TX_ABRT) == STOP_DET
    assert sensor.values[0x0C] == 0x55
    sensor.values[0x0C] = 0
    board.restore(saved)
    assert 0x0C not in sensor.values
    assert bus_probe.run(*script) == values
    assert sensor.values[0x0C] == 0x55
    assert board.warnings == []


def test_addresses_are_checked() -> None:
    port = Board().i2c0
    port.attach(0x30, Log())
    with pytest.raises(BadInputError, match="taken"):
        port.attach(0x30, Log())
    with pytest.raises(BadInputError, match="0x7f"):
        port.attach(0x80, Log())


def test_a_bus_without_pins_is_told(bus_probe: Any) -> None:
    bus_probe.board.i2c1.attach(0x55, Log())
    bus_probe.run((0x4004806C, 1), (0x40014004 + 8 * 2, 3), (0x40048010, 0x200), 5000)
    assert bus_probe.board.warnings == ["I2C1 is used, but no GPIO is its SCL: on a board nobody would answer"]
