"""Pads the second stage to 256 bytes and appends the CRC-32 that the boot ROM checks (RP2040 datasheet, 2.8.1.3.1).

The firmware's Makefile runs this file as a script: `boot2.py boot2.bin boot2_image.S`. Standard library only.
"""

from __future__ import annotations

import sys
from pathlib import Path

BOOT2_BYTES = 256
_POLYNOMIAL = 0x04C11DB7
_START = 0xFFFFFFFF


def boot_crc(data: bytes) -> int:
    """CRC-32 as the boot ROM computes it: most significant bit first, neither reflected nor inverted at the end."""
    crc = _START
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (_POLYNOMIAL if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc


def seal(code: bytes) -> bytes:
    """`code`, at most 252 bytes, padded and followed by its CRC. Raises ValueError when it is longer."""
    if len(code) > BOOT2_BYTES - 4:
        raise ValueError(f"boot2 has {len(code)} bytes, {BOOT2_BYTES - 4} is the most that fits")
    padded = code.ljust(BOOT2_BYTES - 4, b"\0")
    return padded + boot_crc(padded).to_bytes(4, "little")


def assembly(image: bytes) -> str:
    """`image` as an assembly file that puts it into the section .boot2_image."""
    rows = [image[at : at + 16] for at in range(0, len(image), 16)]
    lines = ["    .byte " + ", ".join(f"0x{byte:02x}" for byte in row) for row in rows]
    return "\n".join(['    .section .boot2_image, "a"', *lines]) + "\n"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(assembly(seal(Path(sys.argv[1]).read_bytes())), encoding="utf-8")
