"""Against another emulator, rp2040js 1.4.1, where CRUSTWATCH_RP2040JS names a folder in which npm installed it."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from firmware_sim.rp2040 import Board, Image, Stop, load_image
from firmware_sim.rp2040.boot import choose_start

HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("CRUSTWATCH_RP2040JS", "."))
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (FOLDER / "node_modules" / "rp2040js").is_dir(),
    reason="needs node, and CRUSTWATCH_RP2040JS: a folder in which npm installed rp2040js",
)
# movs r0, #0; movs r1, #200; loop: adds r0, r1; muls r0, r1; push {r0, r1}; pop {r2, r3}; eors r0, r3; subs r1, #1;
# bne loop; bkpt #0
LOOP = (0x2000, 0x21C8, 0x1840, 0x4348, 0xB403, 0xBC0C, 0x4058, 0x3901, 0xD1F8, 0xBE00)


def both(image: Image) -> tuple[Stop, dict[str, int]]:
    """Here, and there."""
    board = Board()
    board.load(image)
    stop = board.run(max_cycles=3_000_000)
    start = choose_start(image)
    chunks = [(address, data.hex()) for address, data in image.chunks]
    job = {"chunks": chunks, "pc": start.pc, "sp": start.sp, "vtor": start.vtor}
    command = ["node", str(HERE / "rp2040js_run.mjs"), str(FOLDER.resolve())]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=60, check=True)
    there = json.loads(done.stdout.splitlines()[-1])
    assert there["done"]
    assert stop.reason == "bkpt"
    return stop, there


def test_newlib_computes_the_same() -> None:
    """Cycles differ: rp2040js has no flash cache."""
    stop, there = both(load_image(HERE / "programs" / "newlib.elf"))
    assert stop.r0 == there["r0"]


def test_a_loop_in_sram_takes_the_same_cycles() -> None:
    table = struct.pack("<4I", 0x20040000, 0x20000011, 0, 0)
    stop, there = both(load_image(table + struct.pack(f"<{len(LOOP)}H", *LOOP), address=0x20000000))
    assert (stop.r0, stop.cycles) == (there["r0"], there["cycles"] - 1)  # which counts the BKPT
