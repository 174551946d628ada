"""Firmware files: ELF, UF2 and raw binaries to the bytes at their addresses.

Hostile files raise BadInputError and nothing else: every length and offset is checked before it is used. The ELF
reader takes program headers only, which is all that loading needs.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from firmware_sim.rp2040.layout import (
    FLASH_BASE,
    FLASH_SIZE,
    SRAM_BASE,
    SRAM_SIZE,
    XIP_SRAM_BASE,
    XIP_SRAM_SIZE,
)
from shared.errors import BadInputError

LOADABLE = ((FLASH_BASE, FLASH_SIZE), (SRAM_BASE, SRAM_SIZE), (XIP_SRAM_BASE, XIP_SRAM_SIZE))
MAX_FILE_BYTES = 64 << 20  # debug information included
ELF_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
PROGRAM_HEADER = struct.Struct("<IIIIIIII")
EM_ARM, ET_EXEC, PT_LOAD = 40, 2, 1
UF2_BLOCK = struct.Struct("<IIIIIIII476sI")
UF2_MAGIC_0, UF2_MAGIC_1, UF2_MAGIC_END = 0x0A324655, 0x9E5D5157, 0x0AB16F30
UF2_NOT_MAIN_FLASH, UF2_FAMILY_PRESENT = 0x1, 0x2000
UF2_FAMILY_RP2040, UF2_FAMILY_ABSOLUTE = 0xE48BFF56, 0xE48BFF57


@dataclass(frozen=True)
class Image:
    """What a firmware file puts where. `entry` is the ELF's entry point, bit 0 as in the file; `elf` is that file."""

    kind: str
    chunks: tuple[tuple[int, bytes], ...]
    entry: int | None = None
    elf: bytes | None = field(default=None, repr=False, compare=False)

    def holds(self, address: int, size: int = 2) -> bool:
        """Whether the file has bytes at [address, address + size)."""
        return any(start <= address and address + size <= start + len(data) for start, data in self.chunks)

    def word(self, address: int) -> int:
        """Little-endian word at an address that the file holds."""
        for start, data in self.chunks:
            if start <= address and address + 4 <= start + len(data):
                return int.from_bytes(data[address - start : address - start + 4], "little")
        raise BadInputError(f"the image has no word at 0x{address:08x}")

    @property
    def lowest(self) -> int:
        """First loaded address."""
        return min(start for start, _ in self.chunks)


def fits(address: int, size: int) -> bool:
    """Whether flash, SRAM or the XIP cache used as SRAM holds [address, address + size)."""
    return any(base <= address and address + size <= base + length for base, length in LOADABLE)


def read_uf2(data: bytes) -> Image:
    """UF2: complete, for the RP2040, every block where memory is. Raises BadInputError."""
    if len(data) % UF2_BLOCK.size:
        raise BadInputError(f"UF2 of {len(data)} bytes: must be a multiple of {UF2_BLOCK.size}; the file is truncated")
    chunks: dict[int, bytes] = {}
    seen: set[int] = set()
    total: int | None = None
    for index in range(len(data) // UF2_BLOCK.size):
        fields = UF2_BLOCK.unpack_from(data, index * UF2_BLOCK.size)
        magic_0, magic_1, flags, address, size, number, count, family, payload, magic_end = fields
        if (magic_0, magic_1, magic_end) != (UF2_MAGIC_0, UF2_MAGIC_1, UF2_MAGIC_END):
            raise BadInputError(f"UF2 block {index}: bad magic numbers; the file is damaged")
        if flags & UF2_NOT_MAIN_FLASH or (flags & UF2_FAMILY_PRESENT and family == UF2_FAMILY_ABSOLUTE):
            continue
        if flags & UF2_FAMILY_PRESENT and family != UF2_FAMILY_RP2040:
            raise BadInputError(
                f"UF2 block {index}: family 0x{family:08x}, but the RP2040 is 0x{UF2_FAMILY_RP2040:08x}"
            )
        if total is None:
            total = count
        if count != total or number >= total or number in seen:
            raise BadInputError(f"UF2 block {index}: number {number} of {count} does not continue the file")
        if not 0 < size <= len(payload) or not fits(address, size):
            raise BadInputError(f"UF2 block {index}: {size} bytes at 0x{address:08x} are outside flash and SRAM")
        seen.add(number)
        chunks[address] = payload[:size]
    if total is None:
        raise BadInputError("UF2 without a block for the RP2040's memory")
    if len(seen) != total:
        raise BadInputError(f"UF2 has {len(seen)} of {total} blocks; the file is truncated")
    return Image("uf2", merge(chunks))


def merge(chunks: dict[int, bytes]) -> tuple[tuple[int, bytes], ...]:
    """Join chunks that touch, so that a table may cross a block boundary."""
    merged: list[tuple[int, bytearray]] = []
    for address in sorted(chunks):
        if merged and merged[-1][0] + len(merged[-1][1]) == address:
            merged[-1][1].extend(chunks[address])
        else:
            merged.append((address, bytearray(chunks[address])))
    return tuple((address, bytes(data)) for address, data in merged)


def as_linked(image: Image) -> Image:
    """`image`, to read: an ELF's segments also where they run once start-up code has copied them there."""
    if image.elf is None:
        return image
    chunks = dict(image.chunks)
    for _, (_, offset, virtual, _, size, _, _, _) in _segments(image.elf):
        if size and not image.holds(virtual, size) and fits(virtual, size):
            chunks[virtual] = image.elf[offset : offset + size]
    return replace(image, chunks=tuple(chunks.items()))


def _segments(data: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Number and header of each segment to load, of an ELF whose own header is sound."""
    table, entry_size, count = (ELF_HEADER.unpack_from(data)[place] for place in (5, 9, 10))
    for index in range(count):
        header = PROGRAM_HEADER.unpack_from(data, table + index * entry_size)
        if header[0] == PT_LOAD:
            yield index, header


def segment_chunk(data: bytes, header: tuple[int, ...], index: int) -> tuple[int, bytes] | None:
    """Address and bytes of one PT_LOAD segment; None when nothing of it is in the file."""
    _, offset, virtual, physical, file_size, memory_size, _, _ = header
    if file_size == 0:
        return None
    if offset + file_size > len(data) or file_size > memory_size:
        raise BadInputError(f"ELF segment {index}: {file_size} bytes at offset {offset} are not in the file")
    for address in (physical, virtual):  # a few linkers leave the physical address 0
        if fits(address, file_size):
            return address, data[offset : offset + file_size]
    if offset == 0:  # the linker put the file's own headers in front of the flash or SRAM
        for base, length in LOADABLE:
            if physical < base < physical + file_size <= base + length:
                return base, data[base - physical : file_size]
    raise BadInputError(f"ELF segment {index}: {file_size} bytes at 0x{physical:08x} are outside flash and SRAM")


def read_elf(data: bytes) -> Image:
    """32-bit little-endian ARM executable: PT_LOAD segments at their load addresses. Raises BadInputError."""
    if len(data) < ELF_HEADER.size:
        raise BadInputError("ELF header is truncated")
    ident, kind, machine, _, entry, table, _, _, _, entry_size, count, _, _, _ = ELF_HEADER.unpack_from(data)
    if ident[4:6] != b"\x01\x01" or machine != EM_ARM or kind != ET_EXEC:
        raise BadInputError("not a 32-bit little-endian ARM executable: link for the RP2040 (Cortex-M0+)")
    if entry_size != PROGRAM_HEADER.size or table + count * entry_size > len(data):
        raise BadInputError("ELF program headers are not in the file")
    chunks: list[tuple[int, bytes]] = []
    for index, header in _segments(data):
        chunk = segment_chunk(data, header, index)
        if chunk is not None:
            chunks.append(chunk)
    if not chunks:
        raise BadInputError("ELF without anything to load")
    return Image("elf", tuple(chunks), entry, data)


def load_image(source: str | Path | bytes, *, address: int | None = None) -> Image:
    """Read an ELF or UF2 file, or with `address` (or a name ending in .bin: the flash) a raw binary.

    Raises BadInputError.
    """
    if isinstance(source, bytes):
        return _read(source, address)
    path = Path(source)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BadInputError(f"{path} has {path.stat().st_size} bytes; at most {MAX_FILE_BYTES} are read")
        data = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return _read(data, FLASH_BASE if address is None and path.suffix == ".bin" else address)
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from None


def _read(data: bytes, raw_address: int | None) -> Image:
    if data[:4] == b"\x7fELF":
        return read_elf(data)
    if len(data) >= 4 and int.from_bytes(data[:4], "little") == UF2_MAGIC_0:
        return read_uf2(data)
    if raw_address is None:
        raise BadInputError(
            "neither an ELF nor a UF2 file; name a raw binary *.bin or say where it goes (emu run --address)"
        )
    if not data or not fits(raw_address, len(data)):
        raise BadInputError(f"{len(data)} bytes at {raw_address:#010x} are outside flash and SRAM")
    return Image("bin", ((raw_address, data),))
