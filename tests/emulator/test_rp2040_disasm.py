"""Disassembly: names, literals, data between code, and cycles that agree with the chip's."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_sim import firmware
from firmware_sim.rp2040 import Board, Image, load_image
from firmware_sim.rp2040.decode import OP_UNDEFINED
from firmware_sim.rp2040.disassembly import disassemble, listing
from firmware_sim.rp2040.record import decode_one
from firmware_sim.rp2040.symbols import Symbols

PROGRAMS = Path(__file__).parent / "programs"
CALLS = PROGRAMS / "calls.elf"
PREBUILT = Path(firmware.__file__).parent / "prebuilt" / "firmware.elf"
COMMAND = [sys.executable, "-m", "shared.cli", "emu", "disasm"]
OBJDUMP = shutil.which("arm-none-eabi-objdump")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def test_a_function_with_names_and_lines() -> None:
    done = run(CALLS, "--symbol", "tail", "--symbol", "choose")
    assert done.returncode == 0, done.stderr
    assert "tail:\n200000c0:  3005           1  adds   r0, #5\n" in done.stdout
    assert "b      #0x200000c4  ; leaf" in done.stdout
    assert "bl     #0x2000028c  ; __gnu_thumb1_case_uqi" in done.stdout
    assert ".word  0x0f0b0703" in done.stdout  # the table of the switch, between instructions
    assert "; 0x200002a0 never_written" in done.stdout
    assert re.search(r"programs/calls\.c:\d+\n2000015c", done.stdout)


def test_code_that_start_up_copies_to_sram_is_in_the_file() -> None:
    """The project's own firmware is loaded into flash and linked for SRAM."""
    done = run(PREBUILT, "--symbol", "main")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\nmain:\n2000[0-9a-f]{4}:  [0-9a-f]{4} +[0-9]+  push ", done.stdout), done.stdout[:200]
    board = Board()
    board.load(PREBUILT)
    board.run(max_cycles=2_000_000)
    shown = re.findall(r"^(2000[0-9a-f]{4}):  ([0-9a-f]{4}) ", done.stdout, re.MULTILINE)
    assert len(shown) > 10
    for address, data in shown:
        assert board.read_memory(int(address, 16), 2) == int(data, 16).to_bytes(2, "little"), address


def test_json_and_ranges() -> None:
    rows = json.loads(run(CALLS, "--address", "0x200000c0", "--size", "4", "--json").stdout)
    assert [(row["address"], row["bytes"], row["symbol"]) for row in rows] == [
        (0x200000C0, "0530", "tail"),
        (0x200000C2, "ffe7", ""),
    ]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--symbol", "fi"], "no symbol is called fi; there is fib"),
        (["--address", "zero"], "no address"),
        (["--address", "0x10000000"], "the file has nothing at 0x10000000"),
    ],
)
def test_bad_options(options: list[str], text: str) -> None:
    done = run(CALLS, *options)
    assert done.returncode == 2
    assert text in done.stderr


def test_a_file_that_is_no_firmware_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.elf"
    path.write_text("hello")
    done = run(CALLS, "--symbol", "tail", "--elf", path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"crustwatch: {path}: neither an ELF nor a UF2 file")


def test_a_binary_without_symbols_is_listed_whole(tmp_path: Path) -> None:
    path = tmp_path / "code.bin"
    path.write_bytes(struct.pack("<4H", 0x2001, 0xF3BF, 0x8F4F, 0xBE00))
    lines = run(path).stdout.splitlines()
    assert [line.split(maxsplit=1)[0] for line in lines] == ["10000000:", "10000002:", "10000006:"]
    assert "dsb" in lines[1]


def test_what_armv6m_lacks_is_no_instruction() -> None:
    """Whatever capstone makes of the 65,536 halfwords, text and decoder agree on what the Cortex-M0+ has."""
    board = Board()
    symbols = Symbols()
    for half in range(0, 0x10000, 7):
        board.write_memory(0x20000000, struct.pack("<HH", half, 0xF800))
        found = disassemble(board.read_memory, 0x20000000, symbols)
        undefined = decode_one(half, 0xF800, 0x20000000) & 0xFF == OP_UNDEFINED
        assert undefined == ("ARMv6-M" in found.text or found.text.startswith("udf")), f"{half:04x} {found}"
        assert bool(found.cycles) != undefined, f"{half:04x} {found}"


def test_cycles_are_those_of_the_emulated_chip() -> None:
    """Every instruction of the programs costs what the listing says, run alone where it has no wait states."""
    image = load_image(PROGRAMS / "newlib.elf")
    checked = 0
    board = Board()
    for item in listing(image, Symbols(), 0x10000200, 0x10001200):
        name = item.text.split()[0]
        if not item.cycles or "/" in item.cycles or name in ("wfi", "wfe", "svc", "bkpt", "cpsid", "cpsie"):
            continue
        code = item.data + b"\x00\xbf" * 8
        board.load(Image("bin", ((0x20000000, struct.pack("<2I", 0x20030000, 0x20000101)), (0x20000100, code))))
        for i in range(13):
            board.set_register(f"r{i}", 0x20010001 if name in ("bx", "blx") else 0x20010000 + 64 * i)
        if name in ("bx", "blx", "pop", "mov", "add") or name.startswith(("ldr", "str", "ldm", "stm")):
            board.write_memory(0x2002FF00, struct.pack("<128I", *[0x20020001] * 128))
            if item.text.split()[1] in ("pc,", "sp,"):
                continue
        if name.startswith(("ldr", "str")) and item.text.count(",") == 2 and "#" not in item.text:
            board.set_register(item.text.split()[-1].strip("]"), 4)
            base = item.text.split("[")[1].split(",")[0]
            board.set_register(base, 0x20010000)
            if base == item.text.split()[-1].strip("]"):
                continue
        before = board.cycles
        stop = board.run(max_cycles=1)
        assert not stop.faults, str(item)
        assert board.cycles - before == int(item.cycles), str(item)
        checked += 1
    assert checked > 1000


@pytest.mark.skipif(OBJDUMP is None, reason="arm-none-eabi-objdump is not installed")
def test_mnemonics_agree_with_objdump() -> None:
    dump = subprocess.run([str(OBJDUMP), "-d", CALLS], capture_output=True, text=True, check=True).stdout
    theirs = {
        int(match[1], 16): match[2].removesuffix(".n").removesuffix(".w")
        for match in re.finditer(r"^([0-9a-f]{8}):\t[0-9a-f ]+\t([a-z.]+)", dump, re.MULTILINE)
        if not match[2].startswith(".")
    }
    image = load_image(CALLS)
    symbols = Symbols(image.elf)
    ours = {
        item.address: item.text.split()[0] for item in listing(image, symbols, 0x200000C0, 0x200002A0) if item.cycles
    }
    same = {
        "stm": "stmia",
        "ldm": "ldmia",
        "mov": "nop",
        "blo": "bcc",
        "bhs": "bcs",
    }  # mov r8, r8 is how assemblers align
    assert ours.keys() == theirs.keys()
    assert [(hex(at), ours[at], theirs[at]) for at in ours if theirs[at] not in (ours[at], same.get(ours[at]))] == []
