"""Writes UF2 files, which the RP2040's boot ROM takes over USB (format: github.com/microsoft/uf2).

The firmware's Makefile runs this file as a script: `uf2.py firmware.bin firmware.uf2`. Standard library only.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

FLASH_BASE = 0x10000000
FAMILY_RP2040 = 0xE48BFF56
PAYLOAD_BYTES = 256  # the boot ROM takes no other
_MAGIC = (0x0A324655, 0x9E5D5157)
_MAGIC_END = 0x0AB16F30
_FLAG_FAMILY = 0x00002000
_HEADER = struct.Struct("<8I")  # magic 0, magic 1, flags, address, payload bytes, block, blocks, family


def uf2_blocks(image: bytes, base: int = FLASH_BASE) -> bytes:
    """`image`, to be written from address `base`, as 512-byte UF2 blocks; the last page is padded with zeros."""
    pages = [image[at : at + PAYLOAD_BYTES] for at in range(0, len(image), PAYLOAD_BYTES)]
    out = bytearray()
    for number, page in enumerate(pages):
        address = base + number * PAYLOAD_BYTES
        out += _HEADER.pack(*_MAGIC, _FLAG_FAMILY, address, PAYLOAD_BYTES, number, len(pages), FAMILY_RP2040)
        out += page.ljust(476, b"\0") + _MAGIC_END.to_bytes(4, "little")
    return bytes(out)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(uf2_blocks(Path(sys.argv[1]).read_bytes()))
