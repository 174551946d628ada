"""Rebuild the test programs' ELF and UF2 files: python tests/emulator/programs/build.py [--out DIR].

They are committed, so that the tests run without the cross compiler (arm-none-eabi-gcc 12.2 made them).
"""

from __future__ import annotations

import argparse
import os
import struct
import subprocess
from pathlib import Path

from firmware_sim.rp2040.boot import boot2_crc
from firmware_sim.rp2040.image import (
    UF2_BLOCK,
    UF2_FAMILY_PRESENT,
    UF2_FAMILY_RP2040,
    UF2_MAGIC_0,
    UF2_MAGIC_1,
    UF2_MAGIC_END,
    load_image,
)

HERE = Path(__file__).parent
FLAGS = ["-mcpu=cortex-m0plus", "-mthumb", "-O2", "-g0", "-Wall", "-Wextra", "-Werror", "-nostartfiles"]
DEBUG = [
    "-g",
    "-Os",
    "-fno-optimize-sibling-calls",
    "--param=min-pagesize=0",
    f"-fdebug-prefix-map={HERE}=programs",
    "-gno-record-gcc-switches",
    "-nostdlib",
    "-lgcc",
]
PROGRAMS = {
    "exceptions": ("exceptions.S", "sram.ld", ["-nostdlib", "-s"]),
    "alarm": ("alarm.S", "sram.ld", ["-nostdlib", "-s"]),
    "echo": ("echo.S", "flash.ld", ["-nostdlib", "-s"]),
    "calls": ("calls.c", "calls.ld", DEBUG),
    "newlib": ("newlib.c", "flash.ld", ["--specs=nano.specs", "-u", "_printf_float", "-lm", "-s"]),
}


def insert_crc(elf: bytearray) -> None:
    """Write the checksum of the second stage (the ELF's segment at 0x10000000) into its last word."""
    offset = struct.unpack_from("<I", elf, 28)[0]
    for i in range(struct.unpack_from("<H", elf, 44)[0]):
        kind, start, _, address, size = struct.unpack_from("<5I", elf, offset + 32 * i)
        if kind == 1 and address == 0x10000000 and size >= 256 and start:  # at 0 the linker put the ELF header
            struct.pack_into("<I", elf, start + 252, boot2_crc(bytes(elf[start : start + 252])))


def to_uf2(elf: bytes) -> bytes:
    """UF2 of the ELF's chunks, 256 bytes a block."""
    pieces = []
    for address, data in load_image(elf).chunks:
        pieces += [(address + i, data[i : i + 256].ljust(256, b"\0")) for i in range(0, len(data), 256)]
    blocks = []
    for number, (address, data) in enumerate(pieces):
        head = (UF2_MAGIC_0, UF2_MAGIC_1, UF2_FAMILY_PRESENT, address, 256, number, len(pieces), UF2_FAMILY_RP2040)
        blocks.append(UF2_BLOCK.pack(*head, data, UF2_MAGIC_END))
    return b"".join(blocks)


def build(out: Path) -> None:
    """Compile and link every program into `out`."""
    for name, (source, script, options) in PROGRAMS.items():
        target = out / f"{name}.elf"
        command = ["arm-none-eabi-gcc", *FLAGS, source, "-T", script, "-o", str(target), *options]
        environment = os.environ | {
            "LC_ALL": "C.UTF-8"
        }  # without a locale the linker reads the fill of sram.ld otherwise
        subprocess.run([*command, "-Wl,--build-id=none,--no-warn-rwx-segments"], cwd=HERE, env=environment, check=True)
        elf = bytearray(target.read_bytes())
        insert_crc(elf)
        target.write_bytes(elf)
        target.chmod(0o644)
    (out / "echo.uf2").write_bytes(to_uf2((out / "echo.elf").read_bytes()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE)
    build(parser.parse_args().out.resolve())
