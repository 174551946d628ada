"""What `emu info` says of files, and that symbols of damaged ELF files raise BadInputError and nothing else."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_sim.firmware import PREBUILT
from firmware_sim.rp2040.info import describe_file, vector_name
from firmware_sim.rp2040.symbols import Symbols
from shared.errors import BadInputError

PROGRAMS = Path(__file__).parent / "programs"
CALLS = PROGRAMS / "calls.elf"
NM = shutil.which("arm-none-eabi-nm")


def test_an_elf_in_sram() -> None:
    about = describe_file(CALLS)
    assert (about["kind"], about["build_id"], about["boot2"]["present"]) == ("elf", None, False)
    assert [(v["number"], v["name"], v["symbol"]) for v in about["vectors"]] == [
        (1, "Reset", "reset"),
        (3, "HardFault", "hard_fault"),
        (14, "PendSV", "pend_sv"),
        (15, "SysTick", "sys_tick"),
    ]
    assert about["start"]["pc"] == about["vectors"][0]["address"]
    assert about["use"]["flash"] == 0
    assert about["use"]["sram"] == sum(section["size"] for section in about["sections"])
    sizes = {symbol["name"]: (symbol["size"], symbol["kind"]) for symbol in about["symbols"]}
    assert (sizes["vectors"], sizes["counter"], sizes["bytes"]) == ((192, "object"), (4, "object"), (8, "object"))
    assert sizes["main"][1] == "function"


@pytest.mark.parametrize("suffix", ["elf", "uf2"])
def test_a_file_with_a_second_stage(suffix: str) -> None:
    about = describe_file(PREBUILT / f"firmware.{suffix}")
    assert about["kind"] == suffix
    assert about["boot2"]["valid"]
    assert about["boot2"]["crc_stored"] == about["boot2"]["crc_computed"]
    assert about["start"]["boot2"]
    reset = next(vector for vector in about["vectors"] if vector["number"] == 1)
    assert reset["symbol"] == ("reset" if suffix == "elf" else "")
    assert next(v for v in about["vectors"] if v["name"] == "UART0_IRQ")["number"] == 36


@pytest.mark.skipif(NM is None, reason="arm-none-eabi-nm is not installed")
def test_sizes_agree_with_binutils() -> None:
    done = subprocess.run([str(NM), "-S", CALLS], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    theirs = {row[3]: int(row[1], 16) for row in rows if len(row) == 4}
    ours = {symbol["name"]: symbol["size"] for symbol in describe_file(CALLS)["symbols"]}
    assert {name: ours.get(name) for name in theirs} == theirs


def test_command() -> None:
    command = [sys.executable, "-m", "shared.cli", "emu", "info"]
    done = subprocess.run([*command, str(PREBUILT / "firmware.elf")], capture_output=True, text=True, check=True)
    assert "boot2 CRC  valid" in done.stdout
    assert "arena" in done.stdout
    assert "others" in done.stdout  # vectors with the same handler
    done = subprocess.run([*command, str(CALLS), "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["kind"] == "elf"
    done = subprocess.run([*command, str(PROGRAMS / "calls.c")], capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_vector_names() -> None:
    assert [vector_name(n) for n in (1, 16, 41)] == ["Reset", "TIMER_IRQ_0", "RTC_IRQ"]


def everything(symbols: Symbols) -> None:
    assert symbols.functions is not None
    assert symbols.objects is not None
    assert symbols.mapping is not None
    assert symbols.lines is not None
    assert symbols.sections is not None
    symbols.describe(0x20000100)
    symbols.line_at(0x20000100)
    assert symbols.build_id is None or symbols.build_id


def test_damaged_files_raise_bad_input_error_only() -> None:
    good = CALLS.read_bytes()
    everything(Symbols(good))
    generator = random.Random(5)
    outcomes = {"read": 0, "refused": 0}
    for case in range(600):
        data = bytearray(good)
        if case % 5 == 0:
            data = data[: generator.randrange(len(data))]
        # headers, section table, symbols and debug sections are where numbers rule
        for _ in range(generator.choice([1, 1, 2, 8])):
            if data:
                first = generator.choice([0, 0, 0x12CC, max(0, len(good) - 1600)])
                at = min(len(data) - 1, first + generator.randrange(max(1, len(good) - first)))
                data[at] = generator.choice([0, 1, 0x7F, 0x80, 0xFF, generator.randrange(256)])
        try:
            everything(Symbols(bytes(data)))
            outcomes["read"] += 1
        except BadInputError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 30


def test_no_elf_no_symbols() -> None:
    empty = Symbols()
    everything(empty)
    with pytest.raises(BadInputError, match="this firmware has no symbols"):
        empty.address("main")
