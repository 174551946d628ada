"""A board on a pseudo-terminal: the firmware's C code built for this machine, behind a line that can be spoilt.

Reads commands, one a line, from standard input: `noise`, `quiet`, `reset`, `unplug`, `plug`; ends with its input.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import sys
import tty
from pathlib import Path

import numpy as np

from firmware_sim.firmware.host import HostFirmware

CHANGED, LOST = 0.01, 0.005  # shares of the bytes on a noisy line


class Board:
    """The service of `library` behind a terminal named `port`."""

    def __init__(self, library: HostFirmware, port: Path, seed: int) -> None:
        self._library, self._port = library, port
        self._rng = np.random.default_rng(seed)
        self._noisy = self._reset_next = False
        self._master = self._slave = -1
        self.plug()

    def plug(self) -> None:
        """A new terminal under the known name; the board starts anew."""
        self.unplug()
        self._library.reset()
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        fresh = self._port.with_suffix(".new")
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.rename(self._port)

    def unplug(self) -> None:
        """The terminal is gone, and its name."""
        if self._master >= 0:
            self._port.unlink(missing_ok=True)
            os.close(self._slave)
            os.close(self._master)
            self._master = -1

    def command(self, word: str) -> None:
        """Obey one command."""
        match word:
            case "noise" | "quiet":
                self._noisy = word == "noise"
            case "reset":
                self._reset_next = True
            case "plug":
                self.plug()
            case "unplug":
                self.unplug()

    def run(self) -> None:
        """Until standard input ends."""
        commands = sys.stdin.fileno()
        while True:
            watched = [commands] + ([self._master] if self._master >= 0 else [])
            ready = select.select(watched, [], [])[0]
            if commands in ready:
                words = os.read(commands, 4096).decode()
                if not words:
                    self.unplug()
                    return
                for word in words.split():
                    self.command(word)
            elif self._master in ready:
                self._exchange(os.read(self._master, 65_536))

    def _exchange(self, data: bytes) -> None:
        data = self._spoilt(data)
        answers = b""
        if self._reset_next and len(data) > 100:  # in mid frame
            self._reset_next = False
            answers = self._library.exchange(data[: len(data) // 2])
            self._library.reset()
            data = data[len(data) // 2 :]
        answers += self._library.exchange(data)
        with contextlib.suppress(BlockingIOError):
            os.write(self._master, self._spoilt(answers))

    def _spoilt(self, data: bytes) -> bytes:
        if not self._noisy:
            return data
        line = np.frombuffer(data, np.uint8).copy()  # [bytes]
        fate = self._rng.random(line.size)  # [bytes]
        changed = fate < CHANGED
        line[changed] = self._rng.integers(0, 256, int(changed.sum()), np.uint8)
        return line[fate < 1 - LOST].tobytes()


def main() -> None:
    """Arguments: library, terminal's name, seed."""
    library = HostFirmware(Path(sys.argv[1]), 48, 48, 3, 5)
    Board(library, Path(sys.argv[2]), int(sys.argv[3])).run()


if __name__ == "__main__":
    main()
