"""Where execution begins.

1. A second stage with a valid CRC at 0x10000000: as on the chip, its 256 bytes are copied to the top of SRAM and run.
2. No such stage, but a vector table (a stack pointer in SRAM, a Thumb reset vector that the file holds) at 0x10000000,
   at 0x10000100, or for a file without flash contents at its lowest SRAM address: SP and VTOR from the table, PC from
   the ELF entry point when that is a Thumb address in the file, else the reset vector.
3. Neither: the ELF entry point, or for a UF2 or binary in SRAM its lowest address; SP at the top of SRAM, VTOR 0.

A board would do 2 and 3 only under a debugger (2 with flash contents: it stays in USB boot), which `Start.note` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from firmware_sim.rp2040.image import Image
from firmware_sim.rp2040.layout import FLASH_BASE, FLASH_SIZE, SRAM_BASE, SRAM_END
from shared.errors import BadInputError

BOOT2_BYTES = 256
BOOT2_TARGET = SRAM_END - BOOT2_BYTES
CRC_POLYNOMIAL = 0x04C11DB7
SCRATCH_MAGIC = 0xB007C0D3


@dataclass(frozen=True)
class Start:
    """Initial registers. `boot2` means: copy the second stage first. `note` is for people, or empty."""

    pc: int
    sp: int
    lr: int
    vtor: int
    boot2: bool
    note: str


def _crc_of_byte(byte: int) -> int:
    crc = byte << 24
    for _ in range(8):
        crc = ((crc << 1) ^ (CRC_POLYNOMIAL if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


CRC_TABLE = tuple(map(_crc_of_byte, range(256)))


def boot2_crc(data: bytes) -> int:
    """CRC-32 of the boot ROM: polynomial 0x04c11db7, initial value all ones, not reflected, no final XOR."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc << 8 & 0xFFFFFFFF) ^ CRC_TABLE[crc >> 24 ^ byte]
    return crc


def has_boot2(image: Image) -> bool:
    """Whether the first 256 bytes of the flash are a second stage with its checksum."""
    if not image.holds(FLASH_BASE, BOOT2_BYTES):
        return False
    stage = b"".join(image.word(FLASH_BASE + i).to_bytes(4, "little") for i in range(0, BOOT2_BYTES - 4, 4))
    return boot2_crc(stage) == image.word(FLASH_BASE + BOOT2_BYTES - 4)


def is_vector_table(image: Image, table: int) -> bool:
    """Whether the file holds a plausible initial SP and reset vector at `table`."""
    if not image.holds(table, 8):
        return False
    sp, reset = image.word(table), image.word(table + 4)
    return sp % 4 == 0 and SRAM_BASE < sp <= SRAM_END and reset & 1 == 1 and image.holds(reset - 1)


def scratch_start(scratch: Sequence[int]) -> Start | None:
    """Where the watchdog's scratch registers 4 to 7 send the boot ROM, if anywhere. Datasheet 2.8.2.1.

    SCRATCH4 holds a magic number, SCRATCH7 the entry point, SCRATCH5 that XOR the negated magic number, SCRATCH6 the
    stack pointer.
    """
    magic, check, sp, entry = scratch[4:8]
    if magic != SCRATCH_MAGIC or check != entry ^ (-SCRATCH_MAGIC & 0xFFFFFFFF):
        return None
    return Start(entry & ~1, sp, 0, 0, False, "")


def choose_start(image: Image) -> Start:
    """Apply the rule above. Raises BadInputError when the file gives no place to start."""
    if has_boot2(image):
        return Start(BOOT2_TARGET, BOOT2_TARGET, 0, 0, True, "")
    in_flash = any(FLASH_BASE <= start < FLASH_BASE + FLASH_SIZE for start, _ in image.chunks)
    candidates = (FLASH_BASE, FLASH_BASE + BOOT2_BYTES) if in_flash else (image.lowest,)
    thumb_entry = image.entry if image.entry is not None and image.entry & 1 and image.holds(image.entry - 1) else None
    note = "no second-stage boot loader with a valid CRC at 0x10000000: a board would stay in USB boot"
    for table in candidates:
        if is_vector_table(image, table):
            pc = thumb_entry if thumb_entry is not None else image.word(table + 4)
            vtor = table if table % BOOT2_BYTES == 0 else 0
            return Start(pc & ~1, image.word(table), 0xFFFFFFFF, vtor, False, note if in_flash else "")
    if image.entry is not None and image.holds(image.entry & ~1):
        return Start(image.entry & ~1, SRAM_END, 0xFFFFFFFF, 0, False, note if in_flash else "")
    if not in_flash:
        return Start(image.lowest, SRAM_END, 0xFFFFFFFF, 0, False, "")
    raise BadInputError(
        "no place to start: no second stage with a valid CRC at 0x10000000 and no vector table there or at 0x10000100"
    )
