"""board.faults: each fault does what it says at the cycle it says, and a seed repeats a run exactly."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.layout import CLK_SYS_HZ, CYCLES, FLASH_BASE, PIN_LEVELS
from shared.errors import BadInputError

PROGRAMS = Path(__file__).parent / "programs"
SRAM = 0x20000000
LOOP = struct.pack("<2H", 0x3001, 0xE7FD)  # adds r0, #1; b .-2


def looping() -> Board:
    """A board that counts in r0 for ever."""
    board = Board()
    board.load(struct.pack("<2I", 0x20040000, SRAM + 0x101) + bytes(248) + LOOP, address=SRAM)
    return board


def test_memory_bits_flip_at_their_cycle() -> None:
    board = looping()
    board.faults.flip_bit(SRAM + 0x8000, 5, at_cycle=1_000)
    board.faults.flip_bit(FLASH_BASE + 0x1234, 0, at_cycle=500)
    board.run(until_cycle=499)
    assert board.flash.read(0x1234, 1) == b"\xff"
    board.run(until_cycle=600)
    assert board.flash.read(0x1234, 1) == b"\xfe"
    assert board.read_memory(SRAM + 0x8000, 1) == b"\0"
    board.run(until_cycle=1_100)
    assert board.read_memory(SRAM + 0x8000, 1) == b"\x20"
    assert [entry.what for entry in board.faults.log] == ["flash 0x001234 bit 0", "SRAM 0x20008000 bit 5"]
    assert [entry.cycle for entry in board.faults.log] == pytest.approx([500, 1_000], abs=4)


def test_flipped_code_is_what_runs() -> None:
    board = looping()
    board.run(max_cycles=100)
    board.faults.flip_bit(SRAM + 0x100, 1)  # adds r0, #3
    before = board.registers["r0"]
    board.run(max_cycles=300)
    assert board.registers["r0"] - before == pytest.approx(300, abs=3)


def test_registers_flip_while_the_program_runs() -> None:
    board = looping()
    board.faults.flip_register("r5", 31, at_cycle=300)
    board.faults.flip_register("r7", 0)
    board.run(until_cycle=200)
    assert (board.registers["r5"], board.registers["r7"]) == (0, 1)
    board.run(until_cycle=400)
    assert board.registers["r5"] == 1 << 31
    board.faults.flip_register("pc", 28, at_cycle=500)  # into nowhere
    assert board.run(max_cycles=1_000).faults


def test_rates_are_rates_and_repeat() -> None:
    logs = []
    for seed in (5, 5, 6):
        board = looping()
        board.faults.clear(seed)
        board.faults.flips_at_rate(50, "flash")
        board.faults.flips_at_rate(10, "sram")
        stops = (400_000, 1_000_000) if seed == 5 and not logs else (1_000_000,)
        for stop in stops:
            board.run(until_cycle=stop)
        logs.append([(entry.cycle, entry.what) for entry in board.faults.log])
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]
    assert 35 <= sum("flash" in what for _, what in logs[0]) <= 70
    assert 3 <= sum("SRAM" in what for _, what in logs[0]) <= 20
    board.faults.flips_at_rate(0, "flash")
    board.faults.flips_at_rate(0, "sram")
    board.run(max_cycles=1_000_000)
    assert len(board.faults.log) == len(logs[2])


def test_snapshots_hold_the_plan() -> None:
    board = looping()
    board.faults.flips_at_rate(20, "sram")
    board.faults.flip_bit(SRAM + 0x9000, 1, at_cycle=300_000)
    board.run(until_cycle=200_000)
    saved = board.snapshot()
    board.run(until_cycle=700_000)
    log, memory = list(board.faults.log), board.read_memory(SRAM, 0x10000)
    other = Board()
    other.restore(saved)
    other.run(until_cycle=700_000)
    assert other.faults.log == log
    assert other.read_memory(SRAM, 0x10000) == memory


def echo(**faults: float) -> tuple[bytes, Board]:
    """What the echo program sends back, with noise or loss on the way to it."""
    board = Board()
    board.load(PROGRAMS / "echo.uf2")
    board.run(until_text="\n", max_cycles=5_000_000)
    for name, share in faults.items():
        getattr(board.faults, name)(0, share, from_chip=False)
    before = len(board.uart0.sent)
    board.uart0.write(bytes(range(64, 90)) * 8)
    board.run(max_cycles=4_000_000)
    return bytes(board.uart0.sent[before:]), board


def test_uart_noise_and_loss() -> None:
    plain, _ = echo()
    assert len(plain) >= 208
    noisy, _ = echo(uart_noise=0.1)
    assert len(noisy) == len(plain)
    wrong = [a ^ b for a, b in zip(plain, noisy, strict=True) if a != b]
    assert 8 <= len(wrong) <= 40
    assert all(bits.bit_count() == 1 for bits in wrong)
    short, _ = echo(uart_loss=0.1)
    assert 160 <= len(short) < len(plain)
    assert echo(uart_noise=0.1)[0] == noisy


def test_noise_does_not_depend_on_how_bytes_are_grouped() -> None:
    board = looping()
    board.faults.uart_noise(1, 0.5)
    board.faults.uart_loss(1, 0.2)
    data = bytes(range(200))
    plan = board.chip.faults
    whole = plan.line(1, 0, data)
    plan.uart_bytes.clear()
    assert b"".join(plan.line(1, 0, data[i : i + 7]) for i in range(0, 200, 7)) == whole


def test_power_cut_ends_the_run_and_power_on_starts_anew() -> None:
    board = looping()
    board.write_memory(SRAM + 0x10000, b"volatile")
    board.faults.power_cut(2_000)
    stop = board.run(max_cycles=10_000)
    assert stop.reason == "power_cut"
    assert stop.cycles == pytest.approx(2_000, abs=4)
    assert board.run(max_cycles=10).reason == "power_cut"
    assert board.cycles == stop.cycles
    board.power_on()
    assert board.read_memory(SRAM + 0x10000, 8) != b"volatile"
    assert board.cycles == 0
    assert board.run(max_cycles=1_000).reason == "max_cycles"


def test_power_cut_in_mid_erase_leaves_a_half_erased_sector() -> None:
    contents = []
    for _ in range(2):
        board = looping()
        chip = board.chip
        board.flash.write(0x5000, b"\x0f" * 0x2000)
        chip.flash.status[0] |= 2
        chip.flash.start_erase(0x5000, 4096, int(chip.S[CYCLES]))
        board.faults.power_cut(chip.flash.cycles(45_000) // 2)
        assert board.run(max_cycles=10_000_000).reason == "power_cut"
        assert board.faults.log[-1].what == "power cut while erasing flash 0x005000"
        board.power_on()
        assert not board.flash.busy
        contents.append(board.flash.read(0x5000, 0x2000))
    assert contents[0] == contents[1]
    assert contents[0][0x1000:] == b"\x0f" * 0x1000
    ones = np.unpackbits(np.frombuffer(contents[0][:0x1000], np.uint8)).mean()
    assert 0.25 < ones < 0.42


def test_clock_drift_scales_every_clock_of_the_crystal() -> None:
    board = Board()
    board.faults.clock_drift(200)
    board.load(PROGRAMS / "echo.uf2")
    board.run(until_text="\n", max_cycles=5_000_000)
    assert board.clock_hz == 125_025_000
    assert board.uart0.baud == pytest.approx(115_200 * 1.0002, rel=0.002)
    board.faults.clock_drift(0)
    assert board.chip.S[CLK_SYS_HZ] == 125_000_000


def test_stuck_pin_keeps_its_level() -> None:
    board = looping()
    board.gpio.set(3, 0)
    board.faults.stick_pin(3, 1)
    assert board.chip.S[PIN_LEVELS] >> 3 & 1
    assert board.gpio.read(3) == 1
    board.faults.stick_pin(3, None)
    assert board.gpio.read(3) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda faults: faults.flip_bit(0x10, 0),
        lambda faults: faults.flip_bit(SRAM, 8),
        lambda faults: faults.flip_bit(0x30000000, 0),
        lambda faults: faults.flip_register("r13", 4),
        lambda faults: faults.flip_register("pc", 0),
        lambda faults: faults.flip_register("sp", 1),
        lambda faults: faults.flips_at_rate(1.0, "usb"),
        lambda faults: faults.flips_at_rate(-1.0, "sram"),
        lambda faults: faults.uart_noise(2, 0.1),
        lambda faults: faults.uart_loss(0, 1.5),
        lambda faults: faults.clock_drift(1e6),
        lambda faults: faults.stick_pin(30, 0),
        lambda faults: setattr(faults, "camera", "broken"),
    ],
)
def test_impossible_faults_are_refused(wrong: object) -> None:
    with pytest.raises(BadInputError):
        wrong(Board().faults)  # type: ignore[operator]
