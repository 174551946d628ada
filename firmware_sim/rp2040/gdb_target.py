"""A board as a target of GDB: answers to packets, without sockets. Hostile packets get an error code, never more."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from firmware_sim.rp2040.board import Board
from firmware_sim.rp2040.debug_access import (
    CORES,
    core_state,
    read_any,
    read_registers,
    write_any,
    write_register,
)
from firmware_sim.rp2040.gdb_description import REGISTERS, TARGET_XML, memory_map, threads_xml
from firmware_sim.rp2040.gdb_packets import MAX_PACKET_BYTES
from firmware_sim.rp2040.layout import FLASH_BASE, FLASH_SIZE
from firmware_sim.rp2040.points import Access, Point
from firmware_sim.rp2040.report import Stop
from shared.errors import BadInputError

OK, UNKNOWN, FAILED = b"OK", b"", b"E01"
SIGINT, SIGTRAP, SIGSEGV = 2, 5, 11
FEATURES = (
    f"PacketSize={MAX_PACKET_BYTES // 2:x};QStartNoAckMode+;qXfer:features:read+;qXfer:memory-map:read+;"
    "qXfer:threads:read+;swbreak+;hwbreak+;vContSupported+"
)
WATCH_KINDS: dict[int, tuple[Access, str]] = {2: ("write", "watch"), 3: ("read", "rwatch"), 4: ("any", "awatch")}
HELP = "reset | reset halt | cycles | faults on | faults off | uart TEXT | help\n"


@dataclass(frozen=True)
class Resume:
    """The debugger wants the board to run: one instruction of a core, or on until something stops it."""

    step_core: int | None


@dataclass(frozen=True)
class Goodbye:
    """The debugger leaves; `answer` is sent first."""

    answer: bytes


Answer = bytes | Resume | Goodbye


class Target:
    """State of one session: chosen threads, points, and why the board stands still."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.no_ack = False
        self.catch_faults = True
        self.last_stop = b"T05thread:1;"
        self._chosen = {"g": 1, "c": 1}
        self._points: dict[tuple[int, int, int], Point] = {}
        self._flash: list[tuple[int, bytes]] = []
        self._handlers: dict[bytes, Callable[[bytes], Answer]] = {
            b"?": lambda _: self.last_stop,
            b"g": self._read_all,
            b"G": self._write_all,
            b"p": self._read_one,
            b"P": self._write_one,
            b"m": self._read_memory,
            b"M": self._write_hex,
            b"X": self._write_binary,
            b"c": lambda _: Resume(None),
            b"s": lambda _: Resume(self._core("c")),
            b"C": lambda _: Resume(None),
            b"S": lambda _: Resume(self._core("c")),
            b"H": self._choose,
            b"T": self._is_alive,
            b"Z": lambda data: self._point(data, True),
            b"z": lambda data: self._point(data, False),
            b"D": lambda _: Goodbye(OK),
            b"k": lambda _: Goodbye(b""),
            b"q": self._query,
            b"Q": self._set,
            b"v": self._verb,
        }

    def handle(self, data: bytes) -> Answer:
        """Answer one packet."""
        handler = self._handlers.get(data[:1])
        if handler is None:
            return UNKNOWN
        try:
            return handler(data[1:])
        except (ValueError, IndexError, KeyError, OverflowError, BadInputError):
            return FAILED

    def close(self) -> None:
        """Take away everything that this session set."""
        for point in self._points.values():
            point.remove()
        self._points.clear()

    # --- threads ---

    def _core(self, what: str) -> int:
        return self._chosen[what] - 1

    def _thread(self, text: bytes) -> int:
        """A thread's number; 0 and -1 are any."""
        number = int(text, 16)
        if number in (0, -1):
            return 1
        if not 1 <= number <= CORES:
            raise ValueError(number)
        return number

    def _choose(self, data: bytes) -> bytes:
        what = data[:1].decode("ascii")
        if what not in self._chosen:
            return FAILED
        self._chosen[what] = self._thread(data[1:])
        return OK

    def _is_alive(self, data: bytes) -> bytes:
        self._thread(data)
        return OK

    # --- registers ---

    def _read_all(self, _: bytes) -> bytes:
        values = read_registers(self.board, self._core("g"))
        return b"".join(_word(values[name]) for name in REGISTERS)

    def _write_all(self, data: bytes) -> bytes:
        raw = bytes.fromhex(data.decode("ascii"))
        if len(raw) != 4 * len(REGISTERS):
            return FAILED
        for i, name in enumerate(REGISTERS):
            write_register(self.board, self._core("g"), name, int.from_bytes(raw[4 * i : 4 * i + 4], "little"))
        return OK

    def _read_one(self, data: bytes) -> bytes:
        return _word(read_registers(self.board, self._core("g"))[REGISTERS[_number(data)]])

    def _write_one(self, data: bytes) -> bytes:
        number, _, value = data.partition(b"=")
        raw = bytes.fromhex(value.decode("ascii"))
        if len(raw) != 4:
            return FAILED
        write_register(self.board, self._core("g"), REGISTERS[_number(number)], int.from_bytes(raw, "little"))
        return OK

    # --- memory ---

    def _read_memory(self, data: bytes) -> bytes:
        address, size = (_number(part) for part in data.split(b","))
        if size > MAX_PACKET_BYTES // 2 - 8:
            return FAILED
        return read_any(self.board, self._core("g"), address, size).hex().encode()

    def _write_hex(self, data: bytes) -> bytes:
        place, _, text = data.partition(b":")
        return self._write(place, bytes.fromhex(text.decode("ascii")))

    def _write_binary(self, data: bytes) -> bytes:
        place, _, raw = data.partition(b":")
        return self._write(place, raw)

    def _write(self, place: bytes, raw: bytes) -> bytes:
        address, size = (_number(part) for part in place.split(b","))
        if size != len(raw):
            return FAILED
        write_any(self.board, self._core("g"), address, raw)
        return OK

    # --- points ---

    def _point(self, data: bytes, insert: bool) -> bytes:
        kind, address, size = (_number(part) for part in data.split(b";")[0].split(b","))
        key = (kind, address, size)
        if kind not in (0, 1, *WATCH_KINDS):
            return UNKNOWN
        if not insert:
            point = self._points.pop(key, None)
            if point is not None:
                point.remove()
            return OK
        if key not in self._points:
            if kind in WATCH_KINDS:
                self._points[key] = self.board.points.add_watch(address, size, WATCH_KINDS[kind][0])
            else:
                self._points[key] = self.board.points.add_code(address, None)
        return OK

    # --- queries ---

    def _query(self, data: bytes) -> bytes:
        name, _, rest = data.partition(b":")
        if name == b"Supported":
            return FEATURES.encode()
        if name == b"Xfer":
            return self._transfer(rest)
        if name == b"C":
            return b"QC%x" % self._chosen["c"]
        if name == b"fThreadInfo":
            return b"m" + b",".join(b"%x" % (core + 1) for core in range(CORES))
        if name == b"sThreadInfo":
            return b"l"
        if data.startswith(b"ThreadExtraInfo,"):
            core = self._thread(data.split(b",")[1]) - 1
            return f"core {core}, {core_state(self.board, core)}".encode().hex().encode()
        if name == b"Attached":
            return b"1"
        if name == b"Symbol":
            return OK
        if data.startswith(b"Rcmd,"):
            return self._monitor(bytes.fromhex(data[5:].decode("ascii")).decode("utf-8", "replace"))
        return UNKNOWN

    def _transfer(self, data: bytes) -> bytes:
        kind, operation, annex, window = data.split(b":")
        offset, size = (_number(part) for part in window.split(b","))
        if operation != b"read":
            return UNKNOWN
        if kind == b"features" and annex == b"target.xml":
            text = TARGET_XML
        elif kind == b"memory-map":
            text = memory_map()
        elif kind == b"threads":
            text = threads_xml([core_state(self.board, core) for core in range(CORES)])
        else:
            return b"E00"
        piece = text.encode()[offset : offset + min(size, MAX_PACKET_BYTES // 2 - 8)]
        return (b"m" if offset + len(piece) < len(text) else b"l") + piece

    def _set(self, data: bytes) -> bytes:
        if data == b"StartNoAckMode":
            self.no_ack = True
            return OK
        return UNKNOWN

    def _monitor(self, command: str) -> bytes:
        """`monitor ...` of the debugger."""
        words = shlex.split(command)
        text = ""
        if words[:1] == ["reset"] and words[1:] in ([], ["halt"], ["init"]):
            self.board.reset()
            text = "reset; halted at the second stage or the reset vector\n"
        elif words == ["cycles"]:
            text = f"{self.board.cycles} cycles, {self.board.clock_hz} Hz\n"
        elif words[:1] == ["faults"] and words[1:] in (["on"], ["off"]):
            self.catch_faults = words[1] == "on"
            text = f"faults {'stop' if self.catch_faults else 'run their handler'}\n"
        elif words[:1] == ["uart"] and len(words) > 1:
            self.board.uart0.write(" ".join(words[1:]).encode() + b"\n")
            text = "sent\n"
        else:
            text = HELP
        return text.encode().hex().encode()

    # --- verbs ---

    def _verb(self, data: bytes) -> Answer:
        if data == b"Cont?":
            return b"vCont;c;C;s;S"
        if data.startswith(b"Cont;"):
            return self._resume(data[5:].split(b";"))
        if data.startswith(b"FlashErase:"):
            address, size = (_number(part) for part in data[11:].split(b","))
            self.board.flash.erase(_in_flash(address, size), size)
            return OK
        if data.startswith(b"FlashWrite:"):
            place, _, raw = data[11:].partition(b":")
            address = _number(place)
            _in_flash(address, len(raw))
            self._flash.append((address, raw))
            return OK
        if data == b"FlashDone":
            for address, raw in self._flash:
                self.board.flash.write(address, raw)
            self._flash.clear()
            return OK
        if data.startswith(b"Kill"):
            return Goodbye(OK)
        return UNKNOWN

    def _resume(self, actions: list[bytes]) -> Answer:
        """vCont: a step of one core, else on. Both cores always run: a chip cannot stop one of them alone."""
        step = None
        for action in actions:
            verb, _, thread = action.partition(b":")
            if verb[:1] not in (b"c", b"C", b"s", b"S"):
                return FAILED
            if verb[:1] in (b"s", b"S") and step is None:
                step = (self._thread(thread) if thread else self._chosen["c"]) - 1
        return Resume(step)

    def stopped(self, stop: Stop) -> bytes:
        """The answer to a resume, once the board stands."""
        thread = stop.core + 1
        self._chosen["g"] = self._chosen["c"] = thread
        signal, extra = SIGTRAP, ""
        if stop.reason == "watchpoint" and stop.hit is not None:
            word = next(
                (WATCH_KINDS[kind][1] for (kind, at, size) in self._points
                 if kind in WATCH_KINDS and at < stop.hit.address + stop.hit.size and stop.hit.address < at + size),
                "watch",
            )  # fmt: skip
            extra = f"{word}:{stop.hit.address:x};"
        elif stop.reason == "breakpoint":
            extra = "swbreak:;"
        elif stop.reason == "interrupted":
            signal = SIGINT
        elif stop.reason in ("fault", "lockup"):
            signal = SIGSEGV
        self.last_stop = f"T{signal:02x}{extra}thread:{thread:x};".encode()
        return self.last_stop


def _word(value: int) -> bytes:
    return value.to_bytes(4, "little").hex().encode()


def _number(text: bytes) -> int:
    """An unsigned hexadecimal number of at most 32 bits."""
    if not 1 <= len(text) <= 8 or not text.isalnum():
        raise ValueError(text)
    return int(text, 16)


def _in_flash(address: int, size: int) -> int:
    """The address, if the flash holds it all."""
    if not FLASH_BASE <= address <= address + size <= FLASH_BASE + FLASH_SIZE:
        raise BadInputError(f"0x{address:08x} is not in the flash")
    return address
