"""USB device controller and host end: buffers against a plain model, enumeration, the console. RP2040 datasheet 4.1."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040 import Board, layout
from firmware_sim.rp2040.blocks import usb as block
from firmware_sim.rp2040.blocks.usb import REGISTERS, Usb
from firmware_sim.rp2040.usb_descriptors import UsbDescription

EP_CONTROL = block.EP_ENABLE | 2 << 26
AVAILABLE, FULL, PID, LAST, STALL, SELECT = (
    block.AVAILABLE,
    block.FULL,
    block.PID,
    block.LAST,
    block.STALL,
    block.SELECT,
)
ON = {"USB_MUXING": 9, "USB_PWR": 12, "MAIN_CTRL": 1, "SIE_CTRL": 1 << 29 | 1 << 16}


class Bench:
    """The controller without a processor: the test plays firmware and host."""

    def __init__(self) -> None:
        self.board = Board()
        self.chip = self.board.chip
        self.block = cast(Usb, self.chip.blocks["USBCTRL_REGS"])
        self.block.clock_hz = lambda: 48_000_000
        self.cycle = 0

    def write(self, name: str, value: int, alias: str = "") -> None:
        """As bus.write_register does it: the alias is applied, S[WRITTEN] holds what the store put on the bus."""
        offset = REGISTERS[name].offset
        self.chip._now = self.cycle
        self.chip.S[layout.WRITTEN] = value
        old = self.block.load(offset, True)
        value = {"": value, "set": old | value, "clear": old & ~value, "xor": old ^ value}[alias]
        self.block.store(offset, value, self.cycle)

    def read(self, name: str) -> int:
        self.chip._now = self.cycle
        return self.block.load(REGISTERS[name].offset, False)

    def word(self, offset: int, value: int | None = None) -> int:
        """A word of the USB RAM."""
        words, index = self.chip.mem.words, (layout.DPRAM_OFFSET + offset) >> 2
        if value is not None:
            words[index] = value
        return int(words[index])

    def half(self, number: int, out: int, buffer: int, value: int | None = None) -> int:
        """A buffer's half of a buffer control word."""
        offset = 0x80 + 8 * number + 4 * out
        old = self.word(offset)
        if value is not None:
            self.word(offset, old & ~(0xFFFF << 16 * buffer) | value << 16 * buffer)
        return self.word(offset) >> 16 * buffer & 0xFFFF

    def data(self, offset: int, value: bytes | None = None, size: int = 0) -> bytes:
        at = layout.DPRAM_OFFSET + offset
        if value is not None:
            self.chip.mem.bytes[at : at + len(value)] = list(value)
            size = len(value)
        return bytes(self.chip.mem.bytes[at : at + size])

    def connect(self) -> None:
        for name, value in ON.items():
            self.write(name, value)

    def settle(self, most: int = 10_000) -> None:
        """Let the host go on as far as it can without the firmware."""
        for _ in range(most):
            event = self.block.next_event()
            request = self.board.usb.host.state.request
            if event is None or (request is not None and event == request.deadline):
                return
            self.cycle = event
            self.block.due(event)


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.booleans(), st.booleans(), st.randoms(use_true_random=True))
def test_buffers_change_hands_as_in_a_plain_model(out: bool, double: bool, per_two: bool, rng: Any) -> None:
    """Firmware arms buffers in turn, the host takes or fills them in turn; NAK where none is ready."""
    bench = Bench()
    control = EP_CONTROL | 0x200 | (block.EP_DOUBLE if double else 0)
    control |= block.EP_INT_2BUF if per_two and double else block.EP_INT_1BUF
    bench.word(8 * 2 + 4 * out, control)
    armed: list[tuple[int, int, bytes]] = []  # buffer, PID, data or size
    waiting: list[int] = []
    next_buffer = next_pid = host_pid = 0
    bit = 1 << (2 * 2 + out)
    for step in rng.choices(["arm", "host", "clear"], k=60):
        if step == "arm" and len(armed) < (2 if double else 1) and next_buffer not in waiting:
            size = rng.randrange(65)
            data = rng.randbytes(size)
            if not out:
                bench.data(0x200 + 64 * next_buffer, data)
            bench.half(2, out, next_buffer, AVAILABLE | (0 if out else FULL) | PID * next_pid | (64 if out else size))
            armed.append((next_buffer, next_pid, data))
            next_pid ^= 1
            next_buffer = (next_buffer ^ 1) if double else 0
        elif step == "host":
            sent = rng.randbytes(rng.randrange(65))
            answer: Any = bench.block.give_out(2, host_pid, sent) if out else bench.block.take_in(2)
            if not armed:
                assert answer == ("nak" if out else ("nak", 0, b""))
                continue
            buffer, pid, data = armed.pop(0)
            half = bench.half(2, out, buffer)
            if out:
                assert answer == "ack"
                assert bench.data(0x200 + 64 * buffer, size=len(sent)) == sent
                assert half == FULL | PID * pid | len(sent)
            else:
                assert answer == ("data", pid, data)
                assert half == PID * pid | len(data)
            host_pid ^= 1
            if not (per_two and double) or buffer == 1:
                waiting.append(buffer)
        elif step == "clear":
            assert bool(bench.read("BUFF_STATUS") & bit) == bool(waiting)
            if waiting:
                assert bench.read("BUFF_CPU_SHOULD_HANDLE") & bit == bit * waiting[0]
                bench.write("BUFF_STATUS", bit, rng.choice(["", "clear", "set"]))
                waiting.pop(0)
        assert bool(bench.read("BUFF_STATUS") & bit) == bool(waiting)
        assert bool(bench.read("INTR") & block.INT_BUFF_STATUS) == bool(waiting)


def test_a_wrong_data_pid_is_acknowledged_dropped_and_told() -> None:
    bench = Bench()
    bench.word(8 + 4, EP_CONTROL | block.EP_INT_1BUF | 0x180)
    bench.half(1, 1, 0, AVAILABLE | PID | 64)
    bench.write("INTE", block.INT_DATA_SEQ)
    assert bench.block.give_out(1, 0, b"again") == "ack"
    assert bench.half(1, 1, 0) == AVAILABLE | PID | 64
    assert bench.read("SIE_STATUS") & block.DATA_SEQ_ERROR
    assert bench.chip.S[layout.LINES] >> 5 & 1
    bench.write("SIE_STATUS", block.DATA_SEQ_ERROR, "clear")
    assert not bench.chip.S[layout.LINES] >> 5 & 1
    assert bench.block.give_out(1, 1, b"right") == "ack"
    assert bench.data(0x180, size=5) == b"right"


def test_stall_abort_and_disabled_endpoints() -> None:
    bench = Bench()
    bench.half(3, 0, 0, STALL)
    assert bench.block.take_in(3)[0] == "nak", "not enabled"
    bench.word(8 * 3, EP_CONTROL | block.EP_INT_STALL)
    assert bench.block.take_in(3)[0] == "stall"
    assert bench.read("EP_STATUS_STALL_NAK") == 1 << 6
    bench.write("EP_STATUS_STALL_NAK", 1 << 6)
    assert not bench.read("INTR") & block.INT_STALL_NAK
    bench.half(3, 0, 0, AVAILABLE | FULL)
    bench.write("EP_ABORT", 1 << 6, "set")
    assert bench.read("EP_ABORT_DONE") == 1 << 6
    assert bench.block.take_in(3)[0] == "nak"
    bench.write("EP_ABORT_DONE", 1 << 6, "clear")
    bench.write("EP_ABORT", 1 << 6, "clear")
    assert bench.block.take_in(3)[0] == "data"
    bench.half(0, 0, 0, STALL)
    assert bench.block.take_in(0)[0] == "nak", "endpoint 0 needs EP_STALL_ARM"
    bench.write("EP_STALL_ARM", 1)
    assert bench.block.take_in(0)[0] == "stall"
    bench.block.setup(bytes(8))
    assert bench.read("EP_STALL_ARM") == 0


def test_select_begins_with_the_first_buffer_again() -> None:
    bench = Bench()
    bench.word(8 * 1, EP_CONTROL | block.EP_DOUBLE | block.EP_INT_1BUF | 0x180)
    bench.half(1, 0, 0, AVAILABLE | FULL | 1)
    assert bench.block.take_in(1)[0] == "data"
    bench.half(1, 0, 0, AVAILABLE | FULL | SELECT | 1)
    assert bench.block.take_in(1)[0] == "data", "without SELECT it would be buffer 1's turn"


def test_status_bits_clear_by_what_is_on_the_bus_through_every_alias() -> None:
    bench = Bench()
    for alias in ("", "clear", "set"):
        bench.block.setup(bytes(8))
        bench.block.bus_reset(0)
        bench.write("SIE_STATUS", block.SETUP_REC, alias)
        assert bench.read("SIE_STATUS") & (block.SETUP_REC | block.BUS_RESET) == block.BUS_RESET


def test_start_of_frame_is_an_event_only_when_wanted() -> None:
    bench = Bench()
    bench.block.bus_reset(0)
    assert bench.block.next_event() is None
    bench.cycle = 10_000
    bench.write("INTE", block.INT_SOF)
    hz = int(bench.chip.S[layout.CLK_SYS_HZ])
    for frame in range(2, 6):
        event = bench.block.next_event()
        assert event is not None
        bench.cycle = event
        bench.block.due(event)
        assert bench.chip.S[layout.LINES] >> 5 & 1
        assert bench.read("SOF_RD") == frame == event * 1000 // hz
        assert not bench.chip.S[layout.LINES] >> 5 & 1
    bench.write("INTE", 0)
    assert bench.block.next_event() is None


def test_no_host_sees_a_device_without_its_clock() -> None:
    bench = Bench()
    bench.block.clock_hz = lambda: 0
    bench.connect()
    assert bench.board.warnings == ["USB: the pull-up is on, but clk_usb is 0 MHz, not 48: no host sees the device"]
    assert bench.block.next_event() is None


def answer(bench: Bench, data: bytes, pid: int = 1) -> None:
    """The firmware's data stage of a request to the host, of one packet; then the host's status packet."""
    bench.data(0x100, data)
    bench.half(0, 0, 0, AVAILABLE | FULL | PID * pid | len(data))
    bench.block.due(bench.cycle)
    bench.settle()
    bench.half(0, 1, 0, AVAILABLE | PID)
    bench.block.due(bench.cycle)
    bench.settle()


def status(bench: Bench) -> None:
    bench.half(0, 0, 0, AVAILABLE | FULL | PID)
    bench.block.due(bench.cycle)
    bench.settle()


DEVICE = bytes([18, 1, 0, 2, 0, 0, 0, 64, 0x34, 0x12, 0x78, 0x56, 0, 1, 1, 2, 0, 1])


def enumerate_by_hand(bench: Bench, configuration: bytes) -> None:
    """What firmware answers, up to SET_CONFIGURATION."""
    bench.connect()
    bench.settle()
    assert bench.data(0, size=8) == struct.pack("<BBHHH", 0x80, 6, 0x100, 0, 8)
    answer(bench, DEVICE[:8])
    assert bench.data(0, size=8) == struct.pack("<BBHHH", 0, 5, 1, 0, 0)
    status(bench)
    bench.write("ADDR_ENDP", 1)
    bench.settle()
    answer(bench, DEVICE)
    answer(bench, configuration[:9])
    answer(bench, configuration)
    for text in ("Maker", "Thing"):
        encoded = text.encode("utf-16-le")
        answer(bench, bytes([2 + len(encoded), 3]) + encoded)
    assert bench.data(0, size=8) == struct.pack("<BBHHH", 0, 9, 1, 0, 0)
    status(bench)


def test_a_device_of_another_class_is_reported() -> None:
    bench = Bench()
    mass_storage = bytes([9, 2, 32, 0, 1, 1, 0, 0x80, 50, 9, 4, 0, 0, 2, 8, 6, 80, 0])
    mass_storage += bytes([7, 5, 0x81, 2, 64, 0, 0, 7, 5, 2, 2, 64, 0, 0])
    enumerate_by_hand(bench, mass_storage)
    assert bench.board.warnings == [
        "USB: the device 1234:5678 Maker Thing (interface 0 mass storage) has no CDC-ACM serial port: nothing reads it"
    ]
    assert not bench.board.usb.console.is_open


def test_what_a_device_does_wrong_is_named() -> None:
    bench = Bench()
    bench.connect()
    bench.settle()
    bench.half(0, 0, 0, STALL)
    bench.write("EP_STALL_ARM", 3)
    bench.block.due(bench.cycle)
    bench.settle()
    assert "GET_DESCRIPTOR (device, 8 bytes) with STALL" in bench.board.warnings[0]
    bench = Bench()
    bench.connect()
    bench.settle()
    answer(bench, DEVICE[:8], pid=0)
    assert "sent DATA0 where DATA1 is due" in bench.board.warnings[0]
    event = bench.block.next_event()
    assert event is not None
    bench.block.due(event)
    assert "no answer to GET_DESCRIPTOR" in bench.board.warnings[1]
    bench = Bench()
    bench.connect()
    bench.settle()
    answer(bench, DEVICE[:8])
    status(bench)
    bench.settle()
    bench.cycle = bench.block.next_event() or 0
    bench.block.due(bench.cycle)
    assert "no answer to GET_DESCRIPTOR (device)" in bench.board.warnings[0], "the address was never set"


CDC = bytes([9, 2, 67, 0, 2, 1, 0, 0x80, 50, 9, 4, 0, 0, 1, 2, 2, 0, 0, 5, 36, 0, 16, 1, 5, 36, 1, 0, 1])
CDC += bytes([4, 36, 2, 2, 5, 36, 6, 0, 1, 7, 5, 0x81, 3, 8, 0, 16, 9, 4, 1, 0, 2, 10, 0, 0, 0])
CDC += bytes([7, 5, 0x02, 2, 64, 0, 0, 7, 5, 0x82, 2, 64, 0, 0])


def test_a_driver_that_zeroes_the_block_and_sends_two_buffers_at_once() -> None:
    """What TinyUSB's driver does: memset, double-buffered bulk IN with one interrupt for two, SOF while it sends."""
    bench = Bench()
    for offset in range(0, 0x9C, 4):
        bench.chip.S[layout.WRITTEN] = 0
        bench.block.store(offset, 0, 0)
    enumerate_by_hand(bench, CDC)
    assert bench.data(0, size=8) == struct.pack("<BBHHH", 0x21, 0x20, 0, 0, 7)
    bench.half(0, 1, 0, AVAILABLE | PID | 64)
    bench.block.due(bench.cycle)
    bench.settle()
    assert bench.data(0x100, size=7) == struct.pack("<IBBB", 115200, 0, 0, 8)
    status(bench)
    assert bench.data(0, size=8) == struct.pack("<BBHHH", 0x21, 0x22, 3, 0, 0)
    status(bench)
    assert bench.board.usb.console.is_open
    bench.word(8 * 2, EP_CONTROL | block.EP_DOUBLE | block.EP_INT_2BUF | 0x200)
    text = bytes(range(256)) * 3
    for at in range(0, len(text), 128):
        pair = text[at : at + 128]
        bench.data(0x200, pair)
        bench.word(0x80 + 8 * 2, SELECT | AVAILABLE | FULL | 64 | (AVAILABLE | FULL | PID | LAST | 64) << 16)
        bench.block.due(bench.cycle)
        bench.settle()
        assert bench.read("BUFF_STATUS") == 1 << 4 | bench.read("BUFF_STATUS") & 3
        bench.write("BUFF_STATUS", 1 << 4, "clear")
    assert bench.board.usb.console.read() == text
    assert bench.board.warnings == []


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120))
def test_any_configuration_is_read_or_refused(data: bytes) -> None:
    description = UsbDescription()
    try:
        description.read_configuration(bytes([9, 2, 0, 0, 1, 1, 0, 0, 0]) + data)
    except ValueError:
        return
    description.serial_port()
    assert str(description)


# --- the example firmware ---


@pytest.fixture
def console(example_elf: Callable[..., Path]) -> Board:
    """A board whose firmware has greeted."""
    board = Board()
    board.load(example_elf("usb_console"))
    assert board.run(until_text="usb console ready\r\n", max_cycles=20_000_000).reason == "text"
    board.usb.console.read()
    return board


def test_the_console_echoes_lines_and_ends(console: Board) -> None:
    assert str(console.usb.device) == (
        "2e8a:000a crustwatch USB console (interface 0 communication, interface 1 CDC data)"
    )
    console.usb.console.write(b"hello\nworld\n")
    assert console.run(until_text="you said: world\r\n", max_cycles=1_000_000).reason == "text"
    assert console.usb.console.read() == b"you said: hello\r\nyou said: world\r\n"
    console.usb.console.write(b"quit\n")
    stop = console.run(max_cycles=1_000_000)
    assert (stop.reason, stop.r0, console.warnings) == ("bkpt", 3, [])


def test_more_than_the_firmware_takes_at_once_waits(console: Board) -> None:
    """The receive ring holds 512 bytes and the echo is longer than the line: NAK holds the host back both ways."""
    lines = [bytes([65 + i % 26]) * (1 + i % 60) for i in range(120)]
    console.usb.console.write(b"".join(line + b"\n" for line in lines))
    before = console.usb.console.pending
    console.run(max_cycles=100_000)
    assert 0 < console.usb.console.pending < before
    console.run(max_cycles=60_000_000)
    assert console.usb.console.pending == 0
    assert console.usb.console.read() == b"".join(b"you said: " + line + b"\r\n" for line in lines)
    assert console.warnings == []


def test_an_idle_console_sleeps_without_events(console: Board) -> None:
    before = console.instructions
    console.run(max_cycles=10_000_000_000)
    assert console.instructions - before < 1000
    console.usb.console.write(b"x\n")
    assert console.run(until_text="you said: x", max_cycles=1_000_000).reason == "text"


def test_a_cable_that_is_pulled_and_put_back(console: Board) -> None:
    console.usb.unplug()
    assert console.usb.device is None
    console.usb.console.write(b"later\n")
    console.run(max_cycles=2_000_000)
    assert console.usb.console.read() == b""
    console.usb.plug()
    assert console.run(until_text="you said: later\r\n", max_cycles=20_000_000).reason == "text"
    assert console.usb.console.is_open


def test_a_reset_board_is_enumerated_anew(console: Board) -> None:
    console.usb.console.write(b"before\n")
    console.run(until_text="before", max_cycles=1_000_000)
    console.reset()
    assert not console.usb.console.is_open
    assert console.usb.address == 0
    assert console.run(until_text="usb console ready", max_cycles=20_000_000).reason == "text"
    assert console.warnings == []


@pytest.mark.parametrize("cycle", [1_200_000, 2_500_000, 3_999_950, 4_020_000, 4_060_000, 4_090_000, 4_101_000])
def test_a_snapshot_in_mid_enumeration_goes_on_alike(example_elf: Callable[..., Path], cycle: int) -> None:
    board = Board()
    board.load(example_elf("usb_console"))
    board.usb.console.write(b"one\ntwo\nquit\n")
    board.run(until_cycle=cycle)
    saved = board.snapshot()
    first = board.run(max_cycles=20_000_000)
    said = board.usb.console.sent
    for other in (board, Board()):
        other.restore(saved)
        assert other.run(max_cycles=20_000_000) == first
        assert other.usb.console.sent == said
    assert first.reason == "bkpt"
    assert said.endswith(b"you said: one\r\nyou said: two\r\n")


def test_the_command_prints_and_types_over_usb(example_elf: Callable[..., Path], tmp_path: Path) -> None:
    typed = tmp_path / "typed.txt"
    typed.write_bytes(b"from a file\nquit\n")
    command = [
        sys.executable,
        "-m",
        "shared.cli",
        "emu",
        "run",
        str(example_elf("usb_console")),
        "--usb-in",
        str(typed),
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.stdout == b"usb console ready\r\nyou said: from a file\r\n"
    assert done.returncode == 0, done.stderr
    done = subprocess.run([*command, "--json"], capture_output=True, check=True)
    assert json.loads(done.stdout)["usb"] == "usb console ready\r\nyou said: from a file\r\n"


def test_a_buffer_ends_with_the_memory() -> None:
    """A length that reaches behind the 4 KB: the rest is neither sent nor received."""
    bench = Bench()
    bench.connect()
    at = layout.DPRAM_OFFSET + layout.DPRAM_SIZE
    behind = bench.chip.mem.bytes[at : at + 1024].copy()
    bench.word(0x08, 1 << 31 | 0xFC0)
    bench.word(0x0C, 1 << 31 | 0xFC0)
    bench.half(1, 0, 0, block.FULL | block.AVAILABLE | 1023)
    kind, _, data = bench.block.take_in(1)
    assert (kind, len(data)) == ("data", 64)
    bench.half(1, 1, 0, block.AVAILABLE | 1023)
    assert bench.block.give_out(1, 0, b"\x5a" * 100) == "ack"
    assert bench.half(1, 1, 0) & 0x3FF == 64
    assert (bench.chip.mem.bytes[at : at + 1024] == behind).all()
