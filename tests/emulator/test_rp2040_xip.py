"""The XIP cache: equal to a plain model, costs from the SSI's settings, aliases, control registers, streaming."""

from __future__ import annotations

import random
import struct

import pytest

from firmware_sim.rp2040 import Board, layout
from tests.emulator.conftest import BusProbe

CTRL, FLUSH, STAT, CTR_HIT, CTR_ACC, STREAM_ADDR, STREAM_CTR, STREAM_FIFO = range(0x14000000, 0x14000020, 4)
XIP_AUX = 0x50400000
LINE, WORD = 64, 48  # cycles of a miss with quad I/O at clk_sys / 2: (8 + 4 + 16 or 8) * 2 + 8


class PlainCache:
    """The cache as a list of lines per set, the older first."""

    def __init__(self) -> None:
        self.sets: list[list[int]] = [[] for _ in range(1024)]

    def read(self, address: int) -> bool:
        """Whether it hits."""
        line, alias = address >> 3 & 0x1FFFFF, address >> 24 & 3
        held = self.sets[line & 1023]
        hit = line in held
        if not hit and alias in (0, 2):
            held.append(line)
            del held[:-2]
        return hit and alias < 2


def test_equal_to_the_plain_model(bus_probe: BusProbe) -> None:
    rng = random.Random(3)
    pool = [rng.randrange(0, 0x200000) & ~3 for _ in range(40)]
    pool += [address ^ 1 << 13 + rng.randrange(8) for address in pool for _ in range(2)]
    addresses = [0x10000000 | rng.choice((0, 0, 0, 1, 2, 3)) << 24 | rng.choice(pool) for _ in range(3000)]
    plain = PlainCache()
    expected = sum(plain.read(address) for address in addresses)
    looked_up = sum(address >> 24 & 3 < 2 for address in addresses)
    values = bus_probe.run((CTR_HIT, 0), (CTR_ACC, 0), *((address,) for address in addresses), (CTR_HIT,), (CTR_ACC,))
    assert 100 < expected < 2900
    assert values[-2:] == [expected, looked_up]
    S = bus_probe.board.chip.S
    for number, held in enumerate(plain.sets):
        tags = {int(tag) - 1 for tag in S[layout.XIP_TAGS + 2 * number : layout.XIP_TAGS + 2 * number + 2] if tag}
        assert tags == {line >> 10 for line in held}


def cycles_of(board: Board, halves: list[int], r0: int) -> int:
    """Cycles of a piece of code in SRAM up to its BKPT."""
    board.write_memory(0x20000400, struct.pack(f"<{len(halves) + 1}H", *halves, 0xBE00))
    S = board.chip.S
    S[0], S[15] = r0, 0x20000400
    start = board.cycles
    assert board.run(max_cycles=100_000).reason == "bkpt"
    return board.cycles - start


@pytest.mark.parametrize(
    ("alias", "first", "second"),
    [(0x10, LINE, 0), (0x11, WORD, WORD), (0x12, LINE, LINE), (0x13, WORD, WORD)],
)
def test_aliases(bus_probe: BusProbe, alias: int, first: int, second: int) -> None:
    address = alias << 24 | 0x12340
    load = [0x6801]
    assert cycles_of(bus_probe.board, load, address) == 2 + first
    assert cycles_of(bus_probe.board, load, address + 4) == 2 + second
    assert cycles_of(bus_probe.board, load, 0x10012340) == 2 + (0 if alias in (0x10, 0x12) else LINE)


@pytest.mark.parametrize("address", [0x13000000, 0x10000000, 0x12000004])
def test_a_word_of_ldm_waits_as_one_of_ldr(bus_probe: BusProbe, address: int) -> None:
    board = bus_probe.board
    loads = [0x6801, 0x6842, 0x6883, 0x68C4]  # ldr r1, [r0]; ldr r2, [r0, #4]; ...
    singly = cycles_of(board, loads, address)
    bus_probe.run((FLUSH, 1), (FLUSH,))
    assert singly > 4 * 2 + 64
    assert cycles_of(board, [0xC81E], address) == 1 + 4 + singly - 4 * 2  # ldm r0!, {r1-r4}
    if address >> 24 == 0x10:
        assert cycles_of(board, [0xC81E], address) == 1 + 4


def test_ldm_that_faults_behind_a_cached_word_loads_nothing(bus_probe: BusProbe) -> None:
    board, S = bus_probe.board, bus_probe.board.chip.S
    cycles_of(board, [0x6801], 0x10000000)  # the line of two words
    S[layout.XIP_OFF] = 1
    S[1:5] = [11, 12, 13, 14]
    board.write_memory(0x20000400, struct.pack("<2H", 0xC81E, 0xBE00))
    S[0], S[15] = 0x10000000, 0x20000400
    stop = board.run(max_cycles=1000)
    assert stop.fault is not None
    assert stop.fault.address == 0x10000008
    assert [stop.fault.registers[f"r{i}"] for i in range(5)] == [0x10000000, 11, 12, 13, 14]


def test_an_uncached_word_takes_about_50_cycles(bus_probe: BusProbe) -> None:
    assert 48 <= cycles_of(bus_probe.board, [0x6801], 0x13000000) <= 52


@pytest.mark.parametrize(
    ("baud", "format_", "control", "word"),
    [
        (4, 2, 0xA0 << 24 | 4 << 11 | 8 << 2 | 2, 20 * 4 + 8),  # quad at clk_sys / 4
        (6, 0, 3 << 24 | 2 << 8 | 6 << 2, 64 * 6 + 8),  # 03h on one lane
        (2, 1, 0xBB << 24 | 2 << 8 | 8 << 2 | 1, (8 + 16 + 16) * 2 + 8),  # BBh: dual address and data
        (2, 2, 0xEB << 24 | 2 << 8 | 4 << 11 | 8 << 2 | 1, (8 + 8 + 4 + 8) * 2 + 8),  # EBh with its command
    ],
)
def test_cost_follows_the_ssi(bus_probe: BusProbe, baud: int, format_: int, control: int, word: int) -> None:
    ssi = 0x18000000
    bus_probe.run(
        (ssi + 8, 0), (ssi + 0x14, baud), (ssi, format_ << 21 | 31 << 16 | 3 << 8), (ssi + 0xF4, control), (ssi + 8, 1)
    )
    assert cycles_of(bus_probe.board, [0x6801], 0x13000000) == 2 + word


def test_off_flushed_and_powered_down(bus_probe: BusProbe) -> None:
    board = bus_probe.board
    load = [0x6801]
    cycles_of(board, load, 0x10000000)
    assert cycles_of(board, load, 0x10000000) == 2
    bus_probe.run((FLUSH, 1), (FLUSH,))
    assert cycles_of(board, load, 0x10000000) == 2 + LINE
    bus_probe.run((CTRL, 2))
    assert cycles_of(board, load, 0x10000000) == 2 + WORD
    assert bus_probe.run((0x15000010, 0x1234567), (0x15000010,)) == [0x1234567]  # the cache as SRAM
    assert bus_probe.run((CTRL, 0xB), (CTRL,)) == [0xA]  # powered down: EN stays 0


def test_a_flush_takes_a_cycle_a_set_and_reading_it_waits(bus_probe: BusProbe) -> None:
    start = bus_probe.board.cycles
    assert bus_probe.run((FLUSH, 1), (STAT,), (FLUSH,), (STAT,)) == [2, 0, 3]
    assert 1024 <= bus_probe.board.cycles - start < 1150


def test_cache_as_sram_faults_while_it_is_a_cache(bus_probe: BusProbe) -> None:
    S = bus_probe.board.chip.S
    bus_probe.board.write_memory(0x20000400, struct.pack("<2H", 0x6801, 0xBE00))
    S[0], S[15] = 0x15000000, 0x20000400
    stop = bus_probe.board.run(max_cycles=1000)
    assert stop.fault is not None
    assert stop.fault.address == 0x15000000


def test_writes_to_flash(bus_probe: BusProbe) -> None:
    board = bus_probe.board
    before = board.read_memory(0x10000000, 4)
    cycles_of(board, [0x6801], 0x10000000)
    bus_probe.run((CTRL, 1), (0x10000000, 0), (0x11000000, 0))  # ERR_BADWRITE 0: ignored, but 0x10 drops the line
    assert board.read_memory(0x10000000, 4) == before
    assert cycles_of(board, [0x6801], 0x10000000) == 2 + LINE


def test_code_pays_for_each_new_line() -> None:
    code = [0xBF00] * 12 + [0xBE00]
    table = struct.pack("<64I", 0x20040000, 0x10000101, *[0] * 62)
    board = Board()
    board.load(table + struct.pack(f"<{len(code)}H", *code), address=0x10000000)
    stop = board.run(max_cycles=10_000)
    assert stop.cycles == 12 + 4 * LINE  # the fourth line holds the BKPT
    S = board.chip.S
    assert (S[layout.XIP_ACCESSES], S[layout.XIP_HITS]) == (4, 0)
    S[15] = 0x10000100
    again = board.run(max_cycles=10_000).cycles - stop.cycles
    assert again == 12
    assert (S[layout.XIP_ACCESSES], S[layout.XIP_HITS]) == (8, 4)


def test_streaming(bus_probe: BusProbe) -> None:
    board = bus_probe.board
    board.write_memory(0x10008000, struct.pack("<4I", 11, 22, 33, 44))
    values = bus_probe.run(
        *((STREAM_ADDR, 0x8000), (STREAM_CTR, 4), (STAT,), 500, (STAT,), (XIP_AUX,), (STREAM_FIFO,), 500),
        *((XIP_AUX,), (XIP_AUX,), (STAT,), (STREAM_CTR,)),
    )
    assert values == [3, 5, 11, 22, 33, 44, 3, 0]
