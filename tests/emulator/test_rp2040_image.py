"""Firmware files: what is loaded, where it starts, and that damaged ones raise BadInputError and nothing else."""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from firmware_sim.rp2040 import Board, Image, load_image
from firmware_sim.rp2040.boot import BOOT2_TARGET, Start, boot2_crc, choose_start
from firmware_sim.rp2040.image import UF2_BLOCK, fits
from shared.errors import BadInputError

PROGRAMS = Path(__file__).parent / "programs"
FLASH, SRAM = 0x10000000, 0x20000000
TABLE = struct.pack("<4I", 0x20040000, 0x20000011, 0, 0)
CODE = struct.pack("<2H", 0x2005, 0xBE00)
RP2040 = 0xE48BFF56


def elf(segments: list[tuple[int, bytes]], *, entry: int = 0, machine: int = 40, virtual: int | None = None) -> bytes:
    """A minimal ELF32 executable with these PT_LOAD segments (physical address, bytes)."""
    header = struct.pack(
        "<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, machine, 1, entry, 52, 0, 0, 52, 32, len(segments), 40, 0, 0
    )
    offset = 52 + 32 * len(segments)
    table, body = b"", b""
    for address, data in segments:
        where = address if virtual is None else virtual
        table += struct.pack("<8I", 1, offset + len(body), where, address, len(data), len(data), 5, 4)
        body += data
    return header + table + body


def uf2(
    pieces: list[tuple[int, bytes]], *, family: int = RP2040, flags: int = 0x2000, total: int | None = None
) -> bytes:
    """UF2 blocks of 256 bytes."""
    count = len(pieces) if total is None else total
    return b"".join(
        UF2_BLOCK.pack(
            0x0A324655, 0x9E5D5157, flags, address, 256, i, count, family, data.ljust(256, b"\0"), 0x0AB16F30
        )
        for i, (address, data) in enumerate(pieces)
    )


def run(source: bytes, **options: int) -> tuple[str, int]:
    board = Board()
    board.load(source, **options)
    stop = board.run(max_cycles=1000)
    return stop.reason, stop.r0


def test_vector_table_in_sram() -> None:
    assert run(elf([(SRAM, TABLE + CODE)])) == ("bkpt", 5)


def test_vector_table_at_the_start_of_flash() -> None:
    table = struct.pack("<2I", 0x20042000, FLASH + 9)
    board = Board()
    board.load(elf([(FLASH, table + CODE)]))
    assert board.chip.S[28] == FLASH  # VTOR
    assert board.run().r0 == 5
    assert "would stay in USB boot" in board.warnings[0]


def test_vector_table_behind_a_second_stage_without_crc() -> None:
    table = struct.pack("<2I", 0x20042000, FLASH + 0x109)
    assert run(elf([(FLASH, bytes(256) + table + CODE)])) == ("bkpt", 5)


def test_entry_point_without_a_vector_table() -> None:
    assert run(elf([(SRAM, CODE)], entry=SRAM | 1)) == ("bkpt", 5)
    assert run(elf([(SRAM, b"\xff\xff" + CODE)], entry=SRAM + 2)) == ("bkpt", 5)


def test_thumb_entry_point_wins_over_the_reset_vector() -> None:
    other = struct.pack("<2H", 0x2006, 0xBE00)
    assert run(elf([(SRAM, TABLE + CODE + other)], entry=SRAM + 0x15)) == ("bkpt", 6)


def test_load_address_wins_over_the_link_address() -> None:
    image = load_image(elf([(FLASH + 0x200, CODE)], virtual=SRAM))
    assert image.chunks == ((FLASH + 0x200, CODE),)
    assert load_image(elf([(0x400, CODE)], virtual=SRAM)).chunks == ((SRAM, CODE),)


def test_binary_and_uf2_in_sram() -> None:
    assert run(CODE, address=SRAM + 0x100) == ("bkpt", 5)
    assert run(uf2([(SRAM, CODE)])) == ("bkpt", 5)


def test_boot_stage_is_checked_and_copied() -> None:
    image = load_image(PROGRAMS / "echo.uf2")
    assert choose_start(image) == Start(BOOT2_TARGET, BOOT2_TARGET, 0, 0, True, "")
    data = bytearray(image.chunks[0][1])
    data[10] ^= 1
    damaged = Image("uf2", ((FLASH, bytes(data)), *image.chunks[1:]))
    assert not choose_start(damaged).boot2


def test_crc_is_the_boot_roms() -> None:
    assert boot2_crc(b"123456789") == 0x0376E6E7  # CRC-32/MPEG-2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "neither an ELF nor a UF2"),
        (b"hello", "neither an ELF nor a UF2"),
        (b"\x7fELF", "truncated"),
        (elf([(SRAM, CODE)], machine=62), "not a 32-bit little-endian ARM"),
        (elf([(0x80000000, CODE)]), "outside flash and SRAM"),
        (elf([(FLASH + 0x1FFFFE, CODE)]), "outside flash and SRAM"),
        (elf([(SRAM, CODE)])[:-2], "not in the file"),
        (elf([]), "without anything to load"),
        (uf2([(SRAM, CODE)])[:-1], "multiple of 512"),
        (uf2([(SRAM, CODE)], total=2), "1 of 2 blocks"),
        (uf2([(SRAM, CODE)], family=0x12345678), "family 0x12345678"),
        (uf2([(0x30000000, CODE)]), "outside flash and SRAM"),
        (uf2([(SRAM, CODE)], flags=0x2001), "without a block"),
        (elf([(FLASH, bytes(64))]), "no place to start"),
    ],
    ids=range(14),
)
def test_bad_files_say_what_is_wrong(data: bytes, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        Board().load(data)


def test_missing_file() -> None:
    with pytest.raises(BadInputError, match="cannot read"):
        load_image("/nonexistent/firmware.elf")


def hostile(rng: random.Random, data: bytearray) -> bytes:
    """A file damaged in a way that formats are damaged in: bytes, fields, lengths, order, truncation, repetition."""
    words = (0, 1, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, FLASH, SRAM, FLASH + 0x1FFFF0, len(data))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(min(len(data), 600) if rng.randrange(4) else len(data)) if data else 0
        kind = rng.randrange(8)
        if kind < 3 and data:
            data[at] = rng.choice((0, 0xFF, 0x80, data[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
        elif kind < 5:
            at &= ~3
            data[at : at + 4] = rng.choice(words).to_bytes(4, "little")
        elif kind == 5 and rng.randrange(4) == 0:
            del data[rng.randrange(len(data) + 1) :]
        elif kind == 6:
            block = rng.randrange(len(data) // 512 + 1) * 512
            data[at:at] = data[block : block + 512]
        elif kind == 7 and rng.randrange(4) == 0:
            data[:4] = rng.choice((b"\x7fELF", b"UF2\n", b"MZ\0\0", rng.randbytes(4)))
    return bytes(data)


def test_a_hundred_thousand_hostile_files_raise_only_bad_input() -> None:
    rng = random.Random(2040)
    table = struct.pack("<2I", 0x20042000, FLASH + 0x109)
    originals = [
        *(path.read_bytes()[:4096] for path in (PROGRAMS / "alarm.elf", PROGRAMS / "echo.uf2")),
        elf([(SRAM, TABLE + CODE), (FLASH, bytes(256) + table + CODE)], entry=SRAM | 1),
        elf([(FLASH, CODE)] * 5),
        uf2([(SRAM, TABLE + CODE), (FLASH, bytes(256)), (FLASH + 256, table + CODE)]),
        uf2([(FLASH + 256 * i, bytes([i]) * 256) for i in range(4)], flags=0),
    ]
    refused = loaded = 0
    for _ in range(100_000):
        data = hostile(rng, bytearray(rng.choice(originals)))
        try:
            image = load_image(data, address=SRAM if rng.randrange(16) == 0 else None)
            choose_start(image)
            assert all(fits(start, len(chunk)) and chunk for start, chunk in image.chunks)
            loaded += 1
        except BadInputError:
            refused += 1
    assert refused > 30_000
    assert loaded > 10_000


def test_overlong_and_endless_files(tmp_path: Path) -> None:
    (tmp_path / "large.elf").write_bytes(b"")
    with (tmp_path / "large.elf").open("r+b") as file:
        file.truncate(65 << 20)
    with pytest.raises(BadInputError, match="at most"):
        load_image(tmp_path / "large.elf")
    with pytest.raises(BadInputError, match="cannot read"):
        load_image(tmp_path)
    headers = bytearray(elf([(SRAM, CODE)]))
    headers[44:46] = b"\xff\xff"  # 65,535 program headers in a file without them
    with pytest.raises(BadInputError, match="program headers"):
        load_image(bytes(headers))
