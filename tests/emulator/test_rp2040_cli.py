"""`crustwatch emu run`: text, JSON, exit codes, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
COMMAND = [sys.executable, "-m", "shared.cli", "emu", "run"]


def emu(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)


def one_block(*halves: int) -> bytes:
    """A UF2 of one block: vector table and code in SRAM."""
    data = struct.pack("<4I", 0x20040000, 0x20000011, 0, 0) + struct.pack(f"<{len(halves)}H", *halves)
    return struct.pack("<8I476sI", 0x0A324655, 0x9E5D5157, 0x2000, 0x20000000, 256, 0, 1, 0xE48BFF56, data, 0x0AB16F30)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """Two breakpoints."""
    path = tmp_path / "two.uf2"
    path.write_bytes(one_block(0x2007, 0xBE05, 0x2009, 0xBE00))
    return path


def test_text_goes_to_stdout_and_the_reason_to_stderr() -> None:
    done = emu(PROGRAMS / "newlib.elf")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "42 pizzas 3.14159"
    assert "stopped: bkpt 0" in done.stderr
    assert "r0-r3 cd94a796" in done.stderr


def test_json_object(program: Path) -> None:
    done = emu(program, "--json", "--bkpt-log")
    result = json.loads(done.stdout)
    assert (result["stop_reason"], result["immediate"], result["r0"]) == ("bkpt", 0, 9)
    assert result["events"] == [{"immediate": 5, "r0": 7, "cycle": 1}, {"immediate": 0, "r0": 9, "cycle": 3}]
    assert (result["cycles"], result["instructions"], result["uart0"]) == (3, 3, "")


def test_first_breakpoint_stops(program: Path) -> None:
    result = json.loads(emu(program, "--json").stdout)
    assert (result["stop_reason"], result["immediate"], result["r0"], result["events"]) == ("bkpt", 5, 7, [])


def test_limits_and_text() -> None:
    echo = PROGRAMS / "echo.elf"
    assert json.loads(emu(echo, "--json", "--max-cycles", "5000").stdout)["stop_reason"] == "max_cycles"
    done = emu(echo, "--until-text", "ready", "--max-cycles", "1000000")
    assert (done.returncode, done.stdout) == (0, "ready\n")
    assert emu(echo, "--until-text", "never", "--max-cycles", "100000").returncode == 1


def test_uart_input(tmp_path: Path) -> None:
    typed = tmp_path / "typed"
    typed.write_bytes(b"abcq")
    done = emu(PROGRAMS / "echo.elf", "--uart-in", typed, "--json", "--max-cycles", "10000000")
    assert json.loads(done.stdout)["uart0"] == "ready\nABC"


def test_fault_is_reported_with_exit_code_1(tmp_path: Path) -> None:
    path = tmp_path / "fault.bin"
    path.write_bytes(struct.pack("<2I", 0x20040000, 0x10000009) + struct.pack("<2H", 0x6800, 0xE7FE))
    done = emu(path)  # ldr r0, [r0] reads the boot ROM; b . goes on for ever
    assert done.returncode == 0
    path.write_bytes(struct.pack("<2I", 0x20040000, 0x10000009) + struct.pack("<2H", 0x2001, 0x6800))
    done = emu(path)
    assert done.returncode == 1
    assert "fault: unaligned access, pc 0x1000000a, address 0x00000001" in done.stderr
    assert "stopped: lockup" in done.stderr


@pytest.mark.parametrize("name", ["nothing.elf", "text.elf"])
def test_bad_files_exit_with_2(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.elf").write_text("no firmware")
    done = emu(tmp_path / name)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    # r0 = 0x40034000 (UARTDR); send a line feed; count for ever
    path = tmp_path / "endless.uf2"
    path.write_bytes(one_block(0x2040, 0x0600, 0x2134, 0x0309, 0x1840, 0x210A, 0x6001, 0x3201, 0xE7FD))
    child = subprocess.Popen([*COMMAND, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "\n"
    os.kill(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 1
    assert "stopped: interrupted" in errors
    assert "Traceback" not in errors


def test_help_has_an_example() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert "crustwatch emu run firmware.uf2" in done.stdout


def test_a_raw_binary_goes_where_address_says(tmp_path: Path, program: Path) -> None:
    raw = tmp_path / "raw"
    raw.write_bytes(struct.pack("<4I", 0x20040000, 0x20000011, 0, 0) + struct.pack("<2H", 0x2007, 0xBE00))
    assert "--address" in emu(raw).stderr
    result = json.loads(emu(raw, "--address", "0x20000000", "--json").stdout)
    assert (result["stop_reason"], result["r0"], result["pc"]) == ("bkpt", 7, 0x20000012)
    for path, address, message in ((raw, "here", "is no address"), (program, "0x20000000", "for raw binaries")):
        done = emu(path, "--address", address)
        assert (done.returncode, message in done.stderr) == (2, True)
