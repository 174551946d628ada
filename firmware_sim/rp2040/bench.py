"""How fast the emulator runs on this machine.

Two programs: the ready-built firmware classifying frames, and an int8 dot product in SRAM (loads, sign extension,
multiply, add, a cheap requantisation) with SysTick interrupting every 12,500 cycles, on one core or on both. Nothing is
switched off: cache of the flash, faults, interrupts, self-modifying code. Seconds are CPU seconds of the
thread that emulates, so that other work on the machine disturbs less.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from statistics import median

from firmware_sim.rp2040.board import Board
from firmware_sim.rp2040.layout import CORE_STRIDE, INTERLEAVING, PC, SLEEPING, SP, SRAM_BASE, VTOR
from firmware_sim.rp2040.layout import CYCLES as CYCLE_COUNT
from shared.cache_folder import VARIABLE

REAL_MHZ = 125
CYCLES = 100_000_000
IDLE_CYCLES = 12_500_000_000  # 100 s of a chip that sleeps between ticks
DUAL_CYCLES = 20_000_000
WARM_UP_FRAMES, WARM_UP_RUNS = 40, 10  # in which hot code is found and translated, by a thread of this process
CODE = 0x40
DATA = 0x20010000
STACK = 0x20040000
# reset: SysTick with reload 12499 and interrupt on, then `pixel`, `tap` as in the docstring, and the handler `tick`,
# which counts in r8. Assembled by arm-none-eabi-as.
DOT_PRODUCT = bytes.fromhex(
    "0c480d494160072101600c4c0022"  # ldr r0, =SYST_CSR ... movs r2, #0
    "26461025"  # pixel: mov r6, r4; movs r5, #16
    "307840b27168484312180836013df7d1"  # tap: ldrb, sxtb, ldr, muls, adds, adds, subs, bne tap
    "1312d2b29b18db112374efe7"  # asrs, uxtb, adds, asrs, strb, b pixel
    "012080447047"  # tick: movs r0, #1; add r8, r0; bx lr
    "10e000e0d330000000000120"  # literals
)
TICK = 0x2E
# The same start, then `wfi; b .-2`.
SLEEPER = DOT_PRODUCT[:14] + bytes.fromhex("30bffde7") + DOT_PRODUCT[18:]


def image(program: bytes) -> bytes:
    """Vector table and program for SRAM."""
    vectors = [STACK, (SRAM_BASE + CODE) | 1, *[0] * 13, (SRAM_BASE + CODE + TICK) | 1]
    return struct.pack("<16I", *vectors) + program


def seconds() -> float:
    """CPU seconds of this thread: hot code is translated by another one meanwhile."""
    return time.thread_time()


def speed(program: bytes, cycles: int, repeats: int, *, native: bool = True) -> float:
    """Median of emulated cycles a second, in millions."""
    board = Board(native=native)
    board.load(image(program), address=SRAM_BASE)
    for _ in range(WARM_UP_RUNS):
        board.run(max_cycles=CYCLES)
    results = []
    for _ in range(repeats):
        start = seconds()
        board.run(max_cycles=cycles)
        results.append(cycles / (seconds() - start) / 1e6)
    return median(results)


def dual_speed(cycles: int, repeats: int, *, fast: bool) -> float:
    """Median of the cycles of both cores a second, in millions: the program on each, with its own code and data."""
    second = SRAM_BASE + 0x20000
    board = Board()
    board.load(image(DOT_PRODUCT), address=SRAM_BASE)
    own_data = DOT_PRODUCT.replace(DATA.to_bytes(4, "little"), (DATA + 0x20000).to_bytes(4, "little"))
    board.write_memory(second, image(own_data))
    S, core1 = board.chip.S, CORE_STRIDE
    S[INTERLEAVING] = int(fast)
    S[core1 + PC], S[core1 + SP], S[core1 + VTOR], S[core1 + SLEEPING] = second + CODE, STACK + 0x1000, second, 0
    for _ in range(WARM_UP_RUNS):
        board.run(max_cycles=cycles)
    results = []
    for _ in range(repeats):
        start, before = seconds(), int(S[CYCLE_COUNT] + S[core1 + CYCLE_COUNT])
        board.run(max_cycles=cycles)
        results.append((int(S[CYCLE_COUNT] + S[core1 + CYCLE_COUNT]) - before) / (seconds() - start) / 1e6)
    return median(results)


def inference_speed(frames: int) -> float:
    """Millions of emulated cycles a second while the ready-built int8 firmware classifies, median of the frames.

    The frames come through its serial protocol; counted is from the last byte of a frame to the answer.
    """
    from firmware_sim.board.client import BoardClient
    from firmware_sim.board.emulated import EmulatedLine

    class Watched(EmulatedLine):
        """Measures the last answer."""

        speed = 0.0

        def read(self, until_s: float) -> bytes:
            while self.board.uart0.pending:
                self.board.run(max_cycles=10_000)
            cycles, start = self.board.cycles, seconds()
            data = super().read(until_s)
            self.speed = (self.board.cycles - cycles) / (seconds() - start) / 1e6
            return data

    line = Watched()
    client = BoardClient(line)
    shape = client.hello()
    speeds = []
    for i in range(WARM_UP_FRAMES + frames):
        client.classify(bytes([i % 256]) * (shape.height * shape.width * shape.channels))
        speeds.append(line.speed)
    return median(speeds[WARM_UP_FRAMES:])


def startup_seconds(cache: str | None = None) -> float:
    """A new process that imports the emulator and runs an instruction; with an empty cache folder it compiles first."""
    start = time.perf_counter()
    code = "from firmware_sim.rp2040 import Board; Board().compile()"
    environment = os.environ | ({VARIABLE: cache} if cache else {})
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return time.perf_counter() - start


def measure(repeats: int, first_start: bool) -> dict[str, float | None]:
    """All figures."""
    figures: dict[str, float | None] = {
        "single_core_mcycles_per_s": round(inference_speed(repeats), 1),
        "single_core_sram_mcycles_per_s": round(speed(DOT_PRODUCT, CYCLES, repeats), 1),
        "single_core_interpreted_mcycles_per_s": round(speed(DOT_PRODUCT, CYCLES, repeats, native=False), 1),
        "dual_core_mcycles_per_s": round(dual_speed(DUAL_CYCLES, repeats, fast=False), 1),
        "dual_core_fast_mcycles_per_s": round(dual_speed(DUAL_CYCLES, repeats, fast=True), 1),
        "idle_speedup": round(speed(SLEEPER, IDLE_CYCLES, repeats) / REAL_MHZ),
        "startup_s": round(median(startup_seconds() for _ in range(3)), 2),
        "first_start_s": None,
    }
    if first_start:
        with tempfile.TemporaryDirectory() as cache:
            figures["first_start_s"] = round(startup_seconds(cache), 1)
    return figures


LINES = (
    ("single_core_mcycles_per_s", "int8 inference, one core", "XIP, interrupts, faults; firmware over its protocol"),
    ("single_core_sram_mcycles_per_s", "dot product in SRAM", "one core, SysTick, translated"),
    ("single_core_interpreted_mcycles_per_s", "the same, interpreted", "one core, SysTick"),
    ("dual_core_mcycles_per_s", "both cores, exact", "sum of both, bank contention"),
    ("dual_core_fast_mcycles_per_s", "both cores, fast", "sum of both, bank contention"),
)


def print_benchmark(repeats: int, as_json: bool, first_start: bool) -> None:
    """Measure and print."""
    figures = measure(repeats, first_start)
    if as_json:
        print(json.dumps(figures))  # noqa: T201
        return
    for key, what, note in LINES:
        value = figures[key] or 0.0
        print(f"{what:26}{value:9.1f} Mcycles/s  {value / REAL_MHZ:6.1f} x 125 MHz  ({note})")  # noqa: T201
    print(f"{'asleep':26}{figures['idle_speedup']:9} x real time  (WFI, SysTick every 12,500 cycles)")  # noqa: T201
    print(f"{'start':26}{figures['startup_s']:9.2f} s  (compiled core from the cache)")  # noqa: T201
    if figures["first_start_s"] is not None:
        print(f"{'first start':26}{figures['first_start_s']:9.1f} s  (compiles everything)")  # noqa: T201
