"""A built model on the emulated chip: inputs go into its arena, outputs come from there, cycles are its own."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware_sim.compiler.graph import Graph
from firmware_sim.rp2040 import Board
from shared.errors import CrustwatchError

MAILBOX = struct.Struct("<4I")  # runner.c: input, output, layers, stack_bytes
READY = 1  # runner.c, bkpt 1
MAX_CYCLES = 60 * 125_000_000


class ChipModel:
    """`firmware` is an ELF file that `build_model` made of the network `graph`."""

    def __init__(self, firmware: Path, graph: Graph) -> None:
        self._graph = graph
        self.board = Board()
        self.board.load(firmware)
        self._mailbox = self._run_to_wait()
        self.layer_cycles: tuple[int, ...] = ()
        self.cycles = 0  # of the last inference, by the emulator's count
        self.stack_bytes = 0

    def _run_to_wait(self) -> int:
        """Run until the firmware waits; the address of its mailbox. Raises CrustwatchError when it fails."""
        stop = self.board.run(max_cycles=MAX_CYCLES)
        if stop.faults or stop.reason != "bkpt" or stop.immediate != READY:
            what = str(stop.faults[0]).splitlines()[0] if stop.faults else stop.reason
            raise CrustwatchError(f"the emulated chip stopped at 0x{stop.pc:08x}: {what}")
        return stop.r0

    def fill_arena(self, size: int, input_offset: int, seed: int) -> None:
        """Random bytes for all activations, for networks whose layers do not follow each other."""
        address = MAILBOX.unpack(self.board.read_memory(self._mailbox, MAILBOX.size))[0] - input_offset
        self.board.write_memory(address, np.random.default_rng(seed).bytes(size))

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """Output [n] of one input [H, W, C], of the dtypes that the network has."""
        source, target = self._graph.input_tensor, self._graph.output_tensor
        address = MAILBOX.unpack(self.board.read_memory(self._mailbox, MAILBOX.size))[0]
        self.board.write_memory(address, np.ascontiguousarray(x, source.dtype).tobytes())
        self.board.step_over_breakpoint()
        before = self.board.cycles
        self._run_to_wait()
        self.cycles = self.board.cycles - before
        _, output, layers, self.stack_bytes = MAILBOX.unpack(self.board.read_memory(self._mailbox, MAILBOX.size))
        raw = self.board.read_memory(self._mailbox + MAILBOX.size, 4 * layers)
        self.layer_cycles = struct.unpack(f"<{layers}I", raw)
        return np.frombuffer(self.board.read_memory(output, target.bytes), target.dtype).copy()
