"""The remote protocol: packets alone, a target without sockets, and a real gdb that debugs over TCP."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.gdb_description import REGISTERS
from firmware_sim.rp2040.gdb_packets import (
    MAX_PACKET_BYTES,
    Damaged,
    Interrupt,
    Packet,
    PacketReader,
    escape,
    frame,
    unescape,
)
from firmware_sim.rp2040.gdb_target import Goodbye, Resume, Target

CALLS = Path(__file__).parent / "programs" / "calls.elf"
GDB = next((path for name in ("gdb-multiarch", "arm-none-eabi-gdb") if (path := shutil.which(name))), None)
needs_gdb = pytest.mark.skipif(GDB is None, reason="gdb-multiarch is not installed")


# --- packets ---


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(1, 20))
def test_what_is_framed_comes_back_however_it_is_cut(packets: list[bytes], step: int) -> None:
    stream = b"+".join(frame(data) for data in packets)
    reader = PacketReader()
    events = [event for i in range(0, len(stream), step) for event in reader.feed(stream[i : i + step])]
    assert events == [Packet(data) for data in packets]


@given(st.binary(max_size=400))
def test_escaping_is_undone(data: bytes) -> None:
    assert unescape(escape(data)) == data
    assert not set(escape(data)) & set(b"#$*")


@given(st.binary(max_size=400))
def test_noise_makes_events_or_nothing(data: bytes) -> None:
    for event in PacketReader().feed(data):
        assert isinstance(event, Packet | Damaged | Interrupt)


def test_interrupt_damage_and_endless_packets() -> None:
    reader = PacketReader()
    assert reader.feed(b"\x03$m0,4#00$?#3f") == [Interrupt(), Damaged(), Packet(b"?")]
    assert reader.feed(b"$" + b"x" * MAX_PACKET_BYTES) == [Damaged()]
    assert reader.feed(frame(b"?")) == [Packet(b"?")]


# --- the target without sockets ---


@pytest.fixture(scope="module")
def board() -> Board:
    board = Board()
    board.load(CALLS)
    board.run(max_cycles=10)
    return board


def answer(target: Target, data: bytes) -> bytes:
    found = target.handle(data)
    assert isinstance(found, bytes)
    return found


def test_registers_one_by_one_and_at_once(board: Board) -> None:
    target = Target(board)
    whole = bytes.fromhex(answer(target, b"g").decode())
    assert len(whole) == 4 * len(REGISTERS)
    for number, name in enumerate(REGISTERS):
        one = bytes.fromhex(answer(target, b"p%x" % number).decode())
        assert one == whole[4 * number : 4 * number + 4], name
    assert answer(target, b"P5=78563412") == b"OK"
    assert board.registers["r5"] == 0x12345678
    assert answer(target, b"P12=00ff0120") == b"OK"  # psp
    assert answer(target, b"P14=02000000") == b"OK"  # control: the process stack
    assert board.registers["sp"] == 0x2001FF00
    assert bytes.fromhex(answer(target, b"p11").decode()) == whole[4 * 13 : 4 * 14]  # msp
    assert answer(target, b"P14=00000000") == b"OK"
    assert answer(target, b"P10=000000f0") == b"OK"  # xpsr: all flags
    assert answer(target, b"p10") == b"000000f1"
    assert answer(target, b"G" + whole.hex().encode()) == b"OK"
    assert answer(target, b"g") == whole.hex().encode()


def test_memory_and_registers_of_blocks(board: Board) -> None:
    target = Target(board)
    assert answer(target, b"M20030001,3:a1b2c3") == b"OK"
    assert answer(target, b"m20030000,5") == b"00a1b2c300"
    assert answer(target, b"X20030000,2:\x01#") == b"OK"
    assert answer(target, b"m20030000,2") == b"0123"
    assert answer(target, b"m40000000,4") == b"27290020"  # SYSINFO.CHIP_ID is read, and nothing happens
    assert answer(target, b"md0000000,4") == b"00000000"  # SIO.CPUID
    assert answer(target, b"Hg2") == b"OK"
    assert answer(target, b"md0000000,4") == b"01000000"
    assert answer(target, b"m30000000,4") == b"E01"
    assert answer(target, b"m20030000,ffffffff") == b"E01"
    assert answer(target, b"M20030000,2:00") == b"E01"


def test_flash_is_erased_and_written(board: Board) -> None:
    target = Target(board)
    assert answer(target, b"vFlashErase:10004000,1000") == b"OK"
    assert answer(target, b"vFlashWrite:10004010:piz}\x5aza") == b"OK"
    assert answer(target, b"vFlashDone") == b"OK"
    assert board.read_memory(0x1000400E, 12) == b"\xff\xffpiz}\x5aza\xff\xff\xff"
    assert answer(target, b"vFlashErase:1ffff000,2000") == b"E01"


def test_threads_and_resume(board: Board) -> None:
    target = Target(board)
    assert answer(target, b"qfThreadInfo") == b"m1,2"
    assert answer(target, b"T2") == b"OK"
    assert answer(target, b"T3") == b"E01"
    assert bytes.fromhex(answer(target, b"qThreadExtraInfo,2").decode()).startswith(b"core 1, waits")
    assert target.handle(b"vCont;s:2;c") == Resume(1)
    assert target.handle(b"vCont;c") == Resume(None)
    assert target.handle(b"D") == Goodbye(b"OK")


WORDS = [b"m", b"M", b"X", b"g", b"G", b"p", b"P", b"Z0", b"Z2", b"z1", b"H", b"q", b"qXfer:features:read:", b"vCont"]
WORDS += [
    b"vFlashWrite:",
    b"vFlashErase:",
    b"qRcmd,",
    b"T",
    b"Q",
    b"vFile:",
    b"20000000",
    b",",
    b":",
    b";",
    b"=",
    b"-1",
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=6)), max_size=6))
def test_hostile_packets_get_an_answer_and_nothing_else(board: Board, parts: list[bytes]) -> None:
    target = Target(board)
    saved = board.snapshot()
    found = target.handle(b"".join(parts))
    assert isinstance(found, bytes | Resume | Goodbye)
    target.close()
    assert not board.points.watched
    board.restore(saved)


# --- a real gdb ---


@contextmanager
def served(file: Path, *options: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server process and its port."""
    command = [sys.executable, "-m", "shared.cli", "emu", "gdb", str(file), "--port", "0", *options]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr is not None
        line = child.stderr.readline()
        while "waiting on" not in line and line:
            line = child.stderr.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found, line
        yield int(found[1]), child
    finally:
        child.kill()
        child.communicate()


def debug(file: Path, *commands: str, timeout: int = 120) -> list[str]:
    """What gdb prints for each command."""
    with served(file, "--once") as (port, child):
        script = ["set confirm off", "set pagination off", "set width 0", "set style enabled off"]
        script += [f"target remote :{port}", *(part for c in commands for part in (f"echo ==={c}\\n", c)), "detach"]
        arguments = [part for command in script for part in ("-ex", command)]
        done = subprocess.run(
            [str(GDB), "-nx", "-batch", *arguments, str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert child.wait(timeout=30) == 0
    parts = re.split(r"^===.*\n", done.stdout, flags=re.MULTILINE)[1:]
    assert len(parts) == len(commands), done.stdout
    return parts


@needs_gdb
def test_break_step_watch_and_look_around() -> None:
    said = iter(
        debug(
            CALLS,
            *("info registers pc", "info threads", "break fib", "continue", "backtrace", "stepi", "info registers pc"),
            *("delete", "watch counter", "continue", "continue", "backtrace 1", "info registers pc", "delete"),
            *("awatch bytes[0]", "continue", "delete", "break pend_sv", "continue", "backtrace", "monitor cycles"),
            *("p counter", "set var counter = 77", "p counter", "x/1xw 0xe000e010", "delete", "finish"),
        )
    )
    assert "<reset>" in next(said)
    threads = next(said)
    assert 'Thread 1 "core 0" (running)' in threads
    assert 'Thread 2 "core 1" (waits in the boot ROM)' in threads
    assert "Breakpoint 1 at 0x20000124" in next(said)
    assert "Breakpoint 1, fib (n=n@entry=10)" in next(said)
    assert re.search(r"#1 +0x[0-9a-f]+ in main \(\)", next(said))
    next(said)
    assert "0x20000126" in next(said)
    next(said)
    assert "Hardware watchpoint 2: counter" in next(said)
    assert "Old value = 0\nNew value = 1" in next(said)
    assert "Old value = 1\nNew value = 2" in next(said)
    assert "count (times=" in next(said)
    assert "0x20000154" in next(said)  # right behind the store at 0x20000152
    next(said)
    assert "Hardware access (read/write) watchpoint 3" in next(said)
    assert "sys_tick ()" in next(said)
    next(said)
    next(said)
    assert "pend_sv ()" in next(said)
    stack = next(said)
    assert "<signal handler called>" in stack  # gdb unwinds the exception's frame
    assert "main ()" in stack
    assert re.match(r"\d+ cycles, \d+ Hz", next(said))
    assert "= 403" in next(said)
    next(said)
    assert "= 77" in next(said)
    assert "0x00010007" in next(said)  # SYST_CSR
    next(said)
    assert "main () at calls.c" in next(said)


@needs_gdb
def test_load_and_reset(example_elf: Callable[..., Path]) -> None:
    said = iter(
        debug(
            example_elf("hello"),
            *("set var *(int*)0x20030000 = 5", "load", "monitor reset halt", "maintenance flush register-cache"),
            *("info registers pc", "break main"),
            *("continue", "next", "info registers msp psp primask control", "monitor frobnicate"),
        )
    )
    next(said)
    assert "Transfer rate" in next(said)
    assert "halted" in next(said)
    next(said)
    assert "0x20041f00" in next(said)  # the second stage
    next(said)
    assert "Breakpoint 1, main ()" in next(said)
    next(said)
    registers = next(said)
    assert re.search(r"msp +0x2004", registers)
    assert re.search(r"control +0x0", registers)
    assert "reset halt" in next(said)


@needs_gdb
def test_both_cores_as_threads(example_elf: Callable[..., Path]) -> None:
    said = iter(
        debug(
            example_elf("two_cores", "sram"),
            *(
                "break core1",
                "continue",
                "info threads",
                "thread 1",
                "info registers sp",
                "thread 2",
                "stepi",
                "delete",
            ),
            *("break hit", "continue", "continue", "info threads"),
        )
    )
    next(said)
    assert 'Thread 2 "core 1" hit Breakpoint 1, core1' in next(said)
    assert '* 2    Thread 2 "core 1"' in next(said)
    next(said)
    next(said)
    assert "Switching to thread 2" in next(said)
    next(said)
    next(said)
    next(said)
    hits = next(said) + next(said)
    assert 'Thread 1 "core 0" hit' in hits or 'Thread 2 "core 1" hit' in hits
    assert "core 1" in next(said)


@needs_gdb
def test_a_fault_stops_where_it_happened(tmp_path: Path) -> None:
    # movs r1, #3; ldr r2, [r1]; handler: b .
    import struct

    path = tmp_path / "fault.bin"
    path.write_bytes(struct.pack("<4I4H", 0x20040000, 0x10000011, 0, 0x10000015, 0x2103, 0x680A, 0xE7FE, 0))
    with served(path, "--once") as (port, _):
        script = ["set confirm off", "set architecture armv6s-m", f"target remote :{port}", "continue", "backtrace"]
        done = subprocess.run(
            [str(GDB), "-nx", "-batch", *(part for command in script for part in ("-ex", command))],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    assert "SIGSEGV" in done.stdout, done.stdout
    assert "0x10000012" in done.stdout  # below the handler in the backtrace


def exchange(stream: socket.socket, reader: PacketReader, data: bytes) -> Packet:
    stream.sendall(frame(data))
    return receive(stream, reader)


def receive(stream: socket.socket, reader: PacketReader) -> Packet:
    while True:
        for event in reader.feed(stream.recv(4096)):
            if isinstance(event, Packet):
                return event


def test_interrupt_and_second_session() -> None:
    with served(CALLS) as (port, child):
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
                reader = PacketReader()
                assert exchange(stream, reader, b"QStartNoAckMode") == Packet(b"OK")
                exchange(stream, reader, b"qRcmd," + b"reset".hex().encode())
                assert exchange(stream, reader, b"vCont;c") == Packet(b"T05thread:1;")  # the BKPT at the end of main
                stream.sendall(frame(b"vCont;c") + b"\x03")  # runs for ever behind it
                assert receive(stream, reader) == Packet(b"T02thread:1;")
                assert exchange(stream, reader, b"D") == Packet(b"OK")
        os.kill(child.pid, signal.SIGINT)
        _, errors = child.communicate(timeout=30)
        assert child.returncode == 0
        assert "Traceback" not in errors


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        command = [sys.executable, "-m", "shared.cli", "emu", "gdb", str(CALLS), "--port", str(other.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "cannot be used" in done.stderr
