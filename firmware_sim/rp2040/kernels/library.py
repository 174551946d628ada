"""Compiled kernels: functions that are compiled together, kept as one object file, and called through addresses.

A library is compiled when an address in it is first asked for and no earlier process has left its object file in the
cache. The file's name is a hash of all sources that the functions are made from, of this compiler and of the processor.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, cast

import llvmlite.binding as llvm
import numpy as np

from firmware_sim.rp2040.kernels.annotations import parameters, result
from firmware_sim.rp2040.kernels.values import INT, NOTHING, Array, KernelError
from firmware_sim.rp2040.machine_code import (
    address_of,
    load_object,
    private_folder,
    processor,
    read_object,
    target_machine,
    write_object,
)
from shared.source_closure import sources_digest

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Compiled(Generic[Parameters, Result]):
    """A kernel with an address of its own. Callable from Python: arrays go as their addresses, the rest as integers."""

    def __init__(self, function: Callable[Parameters, Result]) -> None:
        self.function = function
        self.symbol = f"{function.__module__}.{function.__qualname__}"
        self.library = Library(self.symbol, self)  # its own, unless it is put into another

    @cached_property
    def address(self) -> int:
        """Where the machine code is; compiles it or reads it from the cache."""
        return self.library.address(self.symbol)

    @cached_property
    def _call(self) -> Callable[..., Result]:
        kinds, kind = parameters(self.function).values(), result(self.function)
        if kind not in (INT, NOTHING) or any(one != INT and not isinstance(one, Array) for one in kinds):
            raise KernelError(f"{self.symbol}: Python passes integers and arrays and takes an integer or nothing")
        result_type = ctypes.c_int64 if kind == INT else None
        prototype: Any = ctypes.CFUNCTYPE(result_type, *[ctypes.c_int64] * len(kinds))
        return cast(Callable[..., Result], prototype(self.address))

    def __call__(self, *arguments: Parameters.args, **_none: Parameters.kwargs) -> Result:
        """Run it. Other threads run meanwhile."""
        return self._call(
            *[one.ctypes.data if isinstance(one, np.ndarray) else int(cast(int, one)) for one in arguments]
        )


class Library:
    """Functions that are compiled together."""

    def __init__(self, name: str, *members: Compiled[..., Any]) -> None:
        self.name = name
        self.members = members
        self._loaded = False
        for member in members:
            member.library = self

    @cached_property
    def _path(self) -> Path | None:
        """The object file's place; None when it cannot be kept."""
        folder = private_folder("emulator")
        if folder is None:
            return None
        sources = sources_digest(__name__, *(member.function.__module__ for member in self.members))
        key = hashlib.sha256(f"{sources} {processor()}".encode()).hexdigest()[:24]
        return folder / f"{self.name}-{key}.o"

    @property
    def is_cached(self) -> bool:
        """Whether an earlier process has compiled these functions from the sources as they are."""
        return self._path is not None and self._path.exists()

    def compile(self) -> bytes:
        """Make the object file, and keep it if there is a place for it."""
        from firmware_sim.rp2040.kernels.module import write_program  # not needed when all is cached

        code = machine_code(write_program({member.symbol: member.function for member in self.members}))
        if self._path is not None:
            write_object(self._path, code)
        return code

    def load(self) -> None:
        """Make the functions part of this process."""
        if not self._loaded:
            load_object((read_object(self._path) if self._path else None) or self.compile())
            self._loaded = True

    def address(self, symbol: str) -> int:
        """Address of a member."""
        self.load()
        return address_of(symbol)


def machine_code(text: str) -> bytes:
    """Object file of an LLVM module."""
    machine = target_machine()
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = llvm.get_process_triple(), str(machine.target_data)
    module.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    # Unrolled loops and vectors made the file larger and the interpreter slower.
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = False
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    return bytes(machine.emit_object(module))
