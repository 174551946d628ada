"""DMA: memory results against a plain model, checksums against zlib and binascii, pacing, chaining, interrupts, errors.

A little program in SRAM executes scripts of register accesses, so everything goes through the emulated core and bus.
"""

from __future__ import annotations

import binascii
import itertools
import struct
import zlib
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from register_scene import Registers

from firmware_sim.rp2040 import Board, layout

WORD = 0xFFFFFFFF
BASE, CODE, HANDLER, SCRIPT, RESULTS = 0x20000000, 0x20000100, 0x20000140, 0x20001000, 0x20002000
BUFFER = 0x20010000
DMA, UART0, TIMER = 0x50000000, 0x40034000, 0x40054000
SET, CLR = 0x2000, 0x3000
INTR, INTE0, INTF0, INTS0, INTE1, INTS1 = (DMA + offset for offset in (0x400, 0x404, 0x408, 0x40C, 0x414, 0x41C))
TIMER0, MULTI_CHAN_TRIGGER, SNIFF_CTRL, SNIFF_DATA = (DMA + offset for offset in (0x420, 0x430, 0x434, 0x438))
CHAN_ABORT, N_CHANNELS = DMA + 0x444, DMA + 0x448
EN, HIGH, BYTE, HALF, FULL, INCR_READ, INCR_WRITE = 1, 2, 0, 4, 8, 16, 32
RING_WRITE, QUIET, BSWAP, SNIFF_EN, BUSY = 1 << 10, 1 << 21, 1 << 22, 1 << 23, 1 << 24
WRITE_ERROR, READ_ERROR, AHB_ERROR = 1 << 29, 1 << 30, 1 << 31
UNPACED = 0x3F << 15
# loop: ldmia r6!, {r0-r2}; cmp r0, #1; beq write; bhi wait; ldr r3, [r1]; stmia r7!, {r3}; b loop
# write: str r2, [r1]; b loop
# wait: cmp r0, #3; beq stop; ldr r3, [r1]; tst r3, r2; bne wait+4; b loop; stop: bkpt #0
PROGRAM = [0xCE07, 0x2801, 0xD003, 0xD804, 0x680B, 0xC708, 0xE7F8, 0x600A, 0xE7F6]
PROGRAM += [0x2803, 0xD003, 0x680B, 0x4213, 0xD1FC, 0xE7EF, 0xBE00]
HANDLER_CODE = [0xBE01]  # every interrupt stops the run

Step = tuple[int, int, int]


def read(address: int) -> Step:
    return 0, address, 0


def write(address: int, value: int) -> Step:
    return 1, address, value & WORD


def wait(address: int, mask: int) -> Step:
    """Until none of the bits of `mask` is set."""
    return 2, address, mask


class Bench:
    """A board that executes scripts; its state stays between them."""

    def __init__(self) -> None:
        self.board = Board()
        table = struct.pack("<64I", 0x20040000, CODE | 1, *[HANDLER | 1] * 62)
        code = struct.pack(f"<{len(PROGRAM)}H", *PROGRAM)
        self.board.load(table + code.ljust(HANDLER - CODE, b"\0") + struct.pack("<H", *HANDLER_CODE), address=BASE)

    def start(self, *steps: Step) -> None:
        """Put a script into memory and the core at its beginning."""
        words = [word for step in (*steps, (3, 0, 0)) for word in step]
        self.board.write_memory(SCRIPT, struct.pack(f"<{len(words)}I", *words))
        S = self.board.chip.S
        S[6], S[7], S[15] = SCRIPT, RESULTS, CODE

    def run(self, *steps: Step, cycles: int = 1_000_000) -> list[int]:
        """Execute the steps; the values that the READs loaded."""
        self.start(*steps)
        stop = self.board.run(max_cycles=cycles)
        assert (stop.reason, stop.immediate, stop.faults) == ("bkpt", 0, [])
        count = sum(step[0] == 0 for step in steps)
        return list(struct.unpack(f"<{count}I", self.board.read_memory(RESULTS, 4 * count)))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def channel(number: int, alias: int = 0) -> int:
    return DMA + 0x40 * number + 0x10 * alias


def transfer(number: int, source: int, target: int, count: int, control: int) -> list[Step]:
    """The four registers of a channel, CTRL_TRIG last."""
    at = channel(number)
    return [write(at, source), write(at + 4, target), write(at + 8, count), write(at + 12, control | EN)]


def chain(to: int) -> int:
    return to << 11


@dataclass(frozen=True)
class Descriptor:
    """One sequence, addresses relative to BUFFER."""

    source: int
    target: int
    count: int
    size: int  # 0, 1, 2: log2 of the bytes
    increments: int
    ring_bits: int
    ring_write: bool
    swap: bool


def model(memory: bytearray, job: Descriptor) -> tuple[int, int]:
    """Do a sequence as the datasheet describes it, one transfer after the other; the final addresses."""
    size, at, to = 1 << job.size, job.source, job.target

    def next_address(address: int, increment: int, ring: bool) -> int:
        if not job.increments & increment:
            return address
        window = 1 << job.ring_bits
        if ring and job.ring_bits:
            return address // window * window + (address + size) % window
        return address + size

    for _ in range(job.count):
        data = memory[at : at + size]
        memory[to : to + size] = data[::-1] if job.swap else data
        at, to = next_address(at, INCR_READ, not job.ring_write), next_address(to, INCR_WRITE, job.ring_write)
    return at, to


@st.composite
def descriptors(draw: st.DrawFn, index: int) -> Descriptor:
    size = draw(st.integers(0, 2))
    return Descriptor(
        source=draw(st.integers(0, 255)) << size & 0x3FF,
        target=(draw(st.integers(0, 127)) << size & 0x1FF) + 0x1000 * (index + 1),
        count=draw(st.integers(1, 40)),
        size=size,
        increments=draw(st.sampled_from([0, INCR_READ, INCR_WRITE, INCR_READ | INCR_WRITE])),
        ring_bits=draw(st.sampled_from([0, 0, 2, 3, 5, 8])),
        ring_write=draw(st.booleans()),
        swap=draw(st.booleans()),
    )


BENCH = Bench()


@settings(max_examples=80, deadline=None)
@given(data=st.data(), seed=st.binary(min_size=64, max_size=64))
def test_chained_sequences_leave_what_the_model_leaves(data: st.DataObject, seed: bytes) -> None:
    """Three channels one after the other: each reads a common source and writes a part of its own."""
    jobs = [data.draw(descriptors(i)) for i in range(3)]
    memory = bytearray((seed * 64 + bytes(0x3000)).ljust(0x5000, b"\x5a"))
    BENCH.board.write_memory(BUFFER, bytes(memory))
    ends = [model(memory, job) for job in jobs]
    steps: list[Step] = [write(INTR, 0xFFF)]
    for i, job in reversed(list(enumerate(jobs))):
        control = job.size << 2 | job.increments | job.ring_bits << 6 | (RING_WRITE if job.ring_write else 0)
        control |= (BSWAP if job.swap else 0) | UNPACED | chain(min(i + 1, 2)) | EN
        at = channel(i, 1)
        steps += [write(at, control), write(at + 4, BUFFER + job.source), write(at + 8, BUFFER + job.target)]
        # the first channel starts by its count's trigger, the others by the chain
        steps += [write(channel(i, 2) + 4 if i else at + 12, job.count)]
    busy = [wait(channel(i) + 12, BUSY) for i in range(3)]
    registers = [read(channel(i) + 4 * word) for i in range(3) for word in range(3)]
    values = BENCH.run(*steps, *busy, *registers, read(INTR))
    assert BENCH.board.read_memory(BUFFER, len(memory)) == bytes(memory)
    for i, (at, to) in enumerate(ends):
        assert values[3 * i : 3 * i + 3] == [BUFFER + at, BUFFER + to, 0]
    assert values[-1] == 7


def reversed_bits(value: int, width: int) -> int:
    return int(f"{value:0{width}b}"[::-1], 2)


def crc(data: bytes, seed: int, polynomial: int, width: int) -> int:
    """Most significant bit first, no reflection."""
    for byte in data:
        for bit in range(7, -1, -1):
            top = seed >> (width - 1) & 1 ^ byte >> bit & 1
            seed = (seed << 1 & (1 << width) - 1) ^ (polynomial if top else 0)
    return seed


@settings(max_examples=60, deadline=None)
@given(data=st.binary(min_size=4, max_size=120), size=st.integers(0, 2), calc=st.sampled_from([0, 1, 2, 3, 14, 15]))
def test_sniffer(data: bytes, size: int, calc: int) -> None:
    data = data[: len(data) // 4 * 4]
    step = 1 << size
    BENCH.board.write_memory(BUFFER, data)
    seed = 0xFFFFFFFF if calc < 2 else 0xFFFF if calc < 4 else 0
    units = [int.from_bytes(data[i : i + step], "little") for i in range(0, len(data), step)]
    in_order = b"".join(unit.to_bytes(step, "big") for unit in units)
    mirrored = b"".join(reversed_bits(unit, 8 * step).to_bytes(step, "big") for unit in units)
    expected = {
        0: crc(in_order, seed, 0x04C11DB7, 32),
        1: crc(mirrored, seed, 0x04C11DB7, 32),
        2: crc(in_order, seed, 0x1021, 16),
        3: crc(mirrored, seed, 0x1021, 16),
        14: sum(unit.bit_count() for unit in units) & 1,
        15: sum(units) & WORD,
    }[calc]
    job = transfer(0, BUFFER, BUFFER + 0x1000, len(units), size << 2 | INCR_READ | INCR_WRITE | UNPACED | SNIFF_EN)
    steps = [write(SNIFF_CTRL, 1 | calc << 5), write(SNIFF_DATA, seed), *job, wait(channel(0) + 12, BUSY)]
    plain, inverted, mirror = BENCH.run(
        *steps,
        read(SNIFF_DATA),
        write(SNIFF_CTRL, 1 << 11),
        read(SNIFF_DATA),
        write(SNIFF_CTRL, 1 << 10),
        read(SNIFF_DATA),
    )
    assert (plain, inverted, mirror) == (expected, expected ^ WORD, reversed_bits(expected, 32))
    if calc == 1:
        assert mirror ^ WORD == zlib.crc32(data)
    if calc == 2 and size == 0:
        assert plain == binascii.crc_hqx(data, 0xFFFF)


def test_sniffer_swaps_bytes_once_more(bench: Bench) -> None:
    """BSWAP of the channel and of the sniffer cancel for the sniffer, and only the channel's reaches memory."""
    bench.board.write_memory(BUFFER, bytes(range(8)))
    control = FULL | INCR_READ | INCR_WRITE | UNPACED | SNIFF_EN | BSWAP
    job = transfer(0, BUFFER, BUFFER + 64, 2, control)
    steps = [write(SNIFF_CTRL, 1 | 15 << 5 | 1 << 9), write(SNIFF_DATA, 0), *job, wait(channel(0) + 12, BUSY)]
    assert bench.run(*steps, read(SNIFF_DATA)) == [0x03020100 + 0x07060504]
    assert bench.board.read_memory(BUFFER + 64, 8) == bytes([3, 2, 1, 0, 7, 6, 5, 4])


def duration(*steps: Step, irq: int = 0) -> int:
    """Cycles from the last store, the trigger, to the interrupt line, with cores that do nothing."""
    registers = Registers()
    for _, address, value in ((1, (INTE0, INTE1)[irq], 0xFFF), *steps):
        registers.write(address, value)
    start = registers.now
    while not registers.S[layout.LINES] >> (11 + irq) & 1:
        registers.until(registers.now + 1)
    return registers.now - start


def test_a_burst_takes_one_cycle_a_transfer() -> None:
    """Unpaced SRAM to SRAM: one read and one write a cycle, after six cycles to start and to drain."""
    control = FULL | INCR_READ | INCR_WRITE | UNPACED
    for n in (1, 2, 101, 1001):
        assert duration(*transfer(0, BUFFER, BUFFER + 0x4000, n, control)) == n + 5


def test_a_register_behind_the_bridge_takes_three_cycles_a_read() -> None:
    control = FULL | INCR_WRITE | UNPACED
    times = [duration(*transfer(0, TIMER + 0x28, BUFFER, n, control), irq=1) for n in (1, 101)]
    assert times[1] - times[0] == 300


def test_a_register_behind_the_bridge_takes_four_cycles_a_write() -> None:
    control = FULL | INCR_READ | UNPACED
    times = [duration(*transfer(0, BUFFER, 0x40058000 + 0x0C, n, control)) for n in (1, 101)]
    assert times[1] - times[0] == 400


def test_pacing_timer() -> None:
    """3 / 100 of the clock: 90 transfers take 3,000 cycles."""
    pace = write(TIMER0, 3 << 16 | 100)
    control = BYTE | INCR_READ | INCR_WRITE | 0x3B << 15
    times = [duration(pace, *transfer(0, BUFFER, BUFFER + 0x4000, n, control)) for n in (10, 100)]
    assert times[1] - times[0] == 3000


def test_the_core_goes_first(bench: Bench) -> None:
    """A burst between banks that the running core uses too takes longer, but not twice as long."""
    control = FULL | INCR_READ | INCR_WRITE | UNPACED
    bench.start(*transfer(0, BUFFER, BUFFER + 0x4000, 4000, control), wait(channel(0) + 12, BUSY))
    before = bench.board.cycles
    assert bench.board.run(max_cycles=100_000).reason == "bkpt"
    assert 4050 < bench.board.cycles - before < 8000


def test_flash_costs_what_the_cache_misses() -> None:
    """Uncached words cost more than cached lines of two words, those more than lines that are there already."""
    registers = Registers()

    def copy(source: int) -> int:
        for _, address, value in transfer(0, source, BUFFER, 64, FULL | INCR_READ | INCR_WRITE | UNPACED):
            registers.write(address, value)
        start = registers.now
        while registers.read(channel(0) + 12) & BUSY:
            registers.until(registers.now + 1)
        return registers.now - start

    uncached, cold, warm = copy(0x13000000), copy(0x10001000), copy(0x10001000)
    assert warm == 64 + 5
    assert uncached > cold > 10 * warm


def test_timed_samples_are_evenly_spaced(bench: Bench) -> None:
    """Sampling the microsecond counter at 1 / 625 of 6.5 MHz: 96 us and a fraction between samples."""
    control = FULL | INCR_WRITE | 0x3C << 15
    pace = write(TIMER0 + 4, 1 << 16 | 625)
    bench.run(write(0x40058000 + 0x2C, 1 << 9 | 6), pace, *transfer(2, TIMER + 0x28, BUFFER, 50, control))
    bench.run(wait(channel(2) + 12, BUSY))
    samples = struct.unpack("<50I", bench.board.read_memory(BUFFER, 200))
    steps = {b - a for a, b in itertools.pairwise(samples)}
    assert len(steps) <= 2
    assert max(steps) - min(steps) <= 1


def test_uart_text_by_request(bench: Bench) -> None:
    """A whole text goes out through the UART's FIFO, which holds 32 characters, and nothing is lost."""
    text = bytes(range(33, 127)) * 3
    bench.board.write_memory(BUFFER, text)
    setup = [write(UART0 + 0x24, 1), write(UART0 + 0x2C, 0x70), write(UART0 + 0x30, 0x301), write(UART0 + 0x48, 2)]
    job = transfer(4, BUFFER, UART0, len(text), BYTE | INCR_READ | 20 << 15)
    clock = [write(0x40008000 + 0x48, 1 << 11)]
    bench.run(*clock, *setup, *job, wait(channel(4) + 12, BUSY), wait(UART0 + 0x18, 8), cycles=3_000_000)
    assert bench.board.uart0.read() == text


def test_uart_bytes_come_in_by_request(bench: Bench) -> None:
    sent = bytes(range(200))
    setup = [write(UART0 + 0x24, 1), write(UART0 + 0x2C, 0x70), write(UART0 + 0x30, 0x301), write(UART0 + 0x48, 1)]
    job = transfer(7, UART0, BUFFER, len(sent), BYTE | INCR_WRITE | 21 << 15)
    bench.board.uart0.write(sent)
    bench.run(write(0x40008000 + 0x48, 1 << 11), *setup, *job, wait(channel(7) + 12, BUSY), cycles=3_000_000)
    assert bench.board.read_memory(BUFFER, len(sent)) == sent


def test_list_of_control_blocks_ends_with_a_null_trigger(bench: Bench) -> None:
    """Channel 1 feeds channel 0 with (count, read address) pairs; only the null at the end interrupts."""
    parts = [b"one ", b"and two ", b"and three!"]
    joined = b"".join(parts)
    bench.board.write_memory(BUFFER, joined)
    at, blocks = BUFFER, []
    for part in parts:
        blocks += [len(part), at]
        at += len(part)
    blocks += [0, 0]
    bench.board.write_memory(BUFFER + 0x800, struct.pack(f"<{len(blocks)}I", *blocks))
    data = BYTE | INCR_READ | INCR_WRITE | UNPACED | QUIET | chain(1) | EN
    feed = FULL | INCR_READ | INCR_WRITE | UNPACED | RING_WRITE | 3 << 6 | chain(1) | QUIET
    values = bench.run(
        write(channel(0, 1), data),
        write(channel(0, 1) + 8, BUFFER + 0x1000),
        *transfer(1, BUFFER + 0x800, channel(0, 3) + 8, 2, feed),
        *[read(INTR)] * 20,
        wait(channel(0) + 12, BUSY),
        read(INTR),
        read(channel(1)),
    )
    assert bench.board.read_memory(BUFFER + 0x1000, len(joined)) == joined
    assert values[0] == 0
    assert values[-2:] == [1, BUFFER + 0x800 + 4 * len(blocks)]


def test_interrupt_lines(bench: Bench) -> None:
    job = transfer(3, BUFFER, BUFFER + 64, 1, FULL | UNPACED)
    values = bench.run(
        write(INTE1, 1 << 3),
        *job,
        wait(channel(3) + 12, BUSY),
        *(read(INTS0), read(INTS1), read(INTR), read(0xE000E200)),
        *(write(INTS1, 1 << 3), read(INTR), write(0xE000E280, 1 << 12), read(0xE000E200)),
        *(write(INTF0, 1 << 5), read(INTS0), read(0xE000E200)),
        *transfer(3, BUFFER, BUFFER + 64, 1, FULL | UNPACED | QUIET),
        *(wait(channel(3) + 12, BUSY), read(INTR)),
    )
    sio = 1 << 15  # core 1 has put a 0 into the FIFO on its way through the boot ROM
    assert values == [0, 8, 8, sio | 1 << 12, 0, sio, 1 << 5, sio | 1 << 11, 0]


def test_reload_and_triggers(bench: Bench) -> None:
    """TRANS_COUNT is reloaded by each trigger; MULTI_CHAN_TRIGGER starts several; EN pauses."""
    control = BYTE | INCR_READ | INCR_WRITE | UNPACED | EN
    bench.board.write_memory(BUFFER, bytes(range(64)))
    steps = []
    for i in range(2):
        steps += [write(channel(i, 1), control), write(channel(i, 1) + 4, BUFFER + 8 * i), write(channel(i) + 8, 4)]
        steps += [write(channel(i) + 4, BUFFER + 0x1000 * (i + 1))]
    both = [write(MULTI_CHAN_TRIGGER, 3), wait(channel(0) + 12, BUSY), wait(channel(1) + 12, BUSY)]
    values = bench.run(*steps, *both, *both, read(channel(0)), read(channel(0) + 8), read(DMA + 0x804))
    assert values == [BUFFER + 8, 0, 4]
    assert bench.board.read_memory(BUFFER + 0x1000, 9) == bytes([*range(8), 0])
    assert bench.board.read_memory(BUFFER + 0x2000, 9) == bytes([*range(8, 16), 0])
    paused = [write(channel(0) + 8, 5000), write(channel(0, 1), control), write(MULTI_CHAN_TRIGGER, 1)]
    values = bench.run(
        *paused,
        *(write(channel(0, 1) + CLR, 1), read(channel(0) + 8), read(channel(0) + 8), read(channel(0) + 12)),
        *(write(channel(0, 1) + SET, 1), read(channel(0) + 8), write(CHAN_ABORT, 1), wait(channel(0) + 12, BUSY)),
        *(read(CHAN_ABORT), read(channel(0) + 8)),
    )
    assert 0 < values[0] == values[1] < 5000
    assert values[2] & (BUSY | EN) == BUSY
    assert values[3] < values[1]
    assert values[4] == 0 < values[5]


@pytest.mark.parametrize(
    ("source", "target", "error"),
    [
        (0x30000000, BUFFER, READ_ERROR),
        (0xD0000000, BUFFER, READ_ERROR),
        (BUFFER + 0x32000 - 16, BUFFER, READ_ERROR),
        (BUFFER, 0x10000000, WRITE_ERROR),
        (BUFFER, 0x00000100, WRITE_ERROR),
    ],
)
def test_bus_errors_halt_and_interrupt(bench: Bench, source: int, target: int, error: int) -> None:
    increments = INCR_READ | INCR_WRITE
    values = bench.run(
        *transfer(0, source, target, 20, FULL | increments | UNPACED | QUIET | chain(1)),
        wait(channel(0) + 12, BUSY),
        *(read(channel(0) + 12), read(channel(0)), read(channel(0) + 4), read(INTR)),
        *(write(channel(0, 1), error | FULL), read(channel(0) + 12)),
    )
    assert values[0] & (AHB_ERROR | READ_ERROR | WRITE_ERROR) == AHB_ERROR | error
    assert values[3] == 1
    assert values[4] == FULL
    first = {BUFFER + 0x32000 - 16: 4}.get(source, 0)
    position = values[1] - source if error == READ_ERROR else values[2] - target
    assert first <= position // 4 <= first + (3 if error == READ_ERROR else 5)


def test_high_priority_goes_first() -> None:
    """Beside two other channels an urgent one gets every second cycle, not every third."""

    def left(control: int) -> int:
        bench = Bench()
        jobs = [step for i in range(3) for step in transfer(i, BUFFER, BUFFER + 0x1000, 2000, FULL | UNPACED)]
        jobs[3] = write(channel(0) + 12, FULL | UNPACED | EN | control)
        return bench.run(*jobs, *[read(channel(0) + 8)] * 50)[-1]

    usual, urgent = 2000 - left(0), 2000 - left(HIGH)
    assert 1.3 < urgent / usual < 1.6


def test_code_that_dma_writes_is_decoded_anew(bench: Bench) -> None:
    """movs r0, #1 is replaced by movs r0, #2 after it ran once."""
    bench.board.write_memory(BUFFER, struct.pack("<2H", 0x2001, 0x4770))
    bench.board.write_memory(BUFFER + 0x100, struct.pack("<2H", 0x2002, 0x4770))
    caller = struct.pack("<4H", 0x4780, 0xBE05, 0, 0)  # blx r0; bkpt #5
    bench.board.write_memory(BUFFER + 0x200, caller)
    S = bench.board.chip.S

    def call() -> int:
        S[0], S[15] = BUFFER | 1, BUFFER + 0x200
        bench.board.run(max_cycles=100)
        return int(S[0])

    assert call() == 1
    bench.run(*transfer(0, BUFFER + 0x100, BUFFER, 1, FULL | UNPACED), wait(channel(0) + 12, BUSY))
    assert call() == 2


def test_memory_written_late_is_there_when_the_core_looks_at_the_channel(bench: Bench) -> None:
    """BUSY low means that the last byte has arrived, at any count."""
    for count in (1, 2, 63, 64, 65, 200):
        bench.board.write_memory(BUFFER, bytes([count]) * count)
        bench.board.write_memory(BUFFER + 0x1000, bytes(count))
        last = BUFFER + 0x1000 + count - 1
        job = transfer(0, BUFFER, BUFFER + 0x1000, count, BYTE | INCR_READ | INCR_WRITE | UNPACED)
        (value,) = bench.run(*job, wait(channel(0) + 12, BUSY), read(last & ~3))
        assert value >> 8 * (last & 3) & 255 == count


def test_chip_facts(bench: Bench) -> None:
    assert bench.run(read(N_CHANNELS), read(channel(5) + 12)) == [12, 5 << 11]
