"""How fast the emulator runs on this machine.

The program is an int8 dot product from SRAM (loads, sign extension, multiply, add, a cheap requantisation) with
SysTick interrupting every 12,500 cycles, and nothing switched off: faults, interrupts, self-modifying code. Seconds
are CPU seconds of this process, so that other work on the machine disturbs less.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from statistics import median

from firmware_sim.rp2040.board import Board
from firmware_sim.rp2040.layout import SRAM_BASE

REAL_MHZ = 125
CYCLES = 100_000_000
IDLE_CYCLES = 12_500_000_000  # 100 s of a chip that sleeps between ticks
CODE = 0x40
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


def speed(program: bytes, cycles: int, repeats: int) -> float:
    """Median of emulated cycles a second, in millions."""
    board = Board()
    board.load(image(program), address=SRAM_BASE)
    board.run(max_cycles=100_000)
    results = []
    for _ in range(repeats):
        start = time.process_time()
        board.run(max_cycles=cycles)
        results.append(cycles / (time.process_time() - start) / 1e6)
    return median(results)


def startup_seconds() -> float:
    """A new process that imports the emulator and runs one instruction, with the compiled core in the cache."""
    start = time.perf_counter()
    code = "from firmware_sim.rp2040 import Board; Board().compile()"
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def print_benchmark(repeats: int, as_json: bool) -> None:
    """Measure and print."""
    single = speed(DOT_PRODUCT, CYCLES, repeats)
    idle = speed(SLEEPER, IDLE_CYCLES, repeats)
    figures = {
        "single_core_mcycles_per_s": round(single, 1),
        "idle_speedup": round(idle / REAL_MHZ),
        "startup_s": round(startup_seconds(), 2),
    }
    if as_json:
        print(json.dumps(figures))  # noqa: T201
        return
    print(  # noqa: T201
        f"one core     {single:8.1f} Mcycles/s, {single / REAL_MHZ:.1f} x real time (int8 dot product, SysTick)\n"
        f"asleep       {idle / REAL_MHZ:8.0f} x real time (WFI between ticks)\n"
        f"start        {figures['startup_s']:8.2f} s, with the compiled core in the cache"
    )
