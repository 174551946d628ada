"""From LLVM IR of a region to machine code, kept on disk as object files.

The name of a file is a hash of the guest code, of the sources in this package and of the processor.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import llvmlite.binding as llvm

from firmware_sim.rp2040.machine_code import (
    address_of,
    load_object,
    private_folder,
    processor,
    read_object,
    target_machine,
    write_object,
)
from firmware_sim.rp2040.native.dual import write_function
from firmware_sim.rp2040.native.region import Region
from firmware_sim.rp2040.native.worker import Kind

SOURCES = ("accesses.py", "dual.py", "function.py", "instructions.py", "objects.py", "region.py", "writer.py")
SOURCES_ABOVE = ("banks.py", "decode.py", "layout.py", "machine_code.py")


@functools.cache
def translator_digest() -> bytes:
    """Changes with everything besides the guest code that the machine code depends on."""
    here = Path(__file__).parent
    digest = hashlib.sha256(processor().encode())
    for path in (*(here / name for name in SOURCES), *(here.parent / name for name in SOURCES_ABOVE)):
        digest.update(path.read_bytes())
    return digest.digest()


def compile_region(region: Region, name: str, kind: Kind) -> bytes:
    """Object file of a region's function. Takes ~0.3 ms an instruction, nearly all of it without the GIL."""
    machine = target_machine()
    module = llvm.parse_assembly(write_function(region, name, kind))
    module.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes = llvm.create_new_function_pass_manager()
    passes.add_sroa_pass()
    passes.add_instruction_combine_pass()
    passes.add_simplify_cfg_pass()
    passes.add_new_gvn_pass()
    passes.add_instruction_combine_pass()
    passes.add_sinking_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module.get_function(name), builder)
    return bytes(machine.emit_object(module))


def region_key(region: Region, kind: Kind) -> str:
    """Name of a region's translation."""
    return hashlib.sha256(translator_digest() + kind.encode() + region.key_bytes()).hexdigest()


def load_region(region: Region, kind: Kind) -> int:
    """Address of the region's machine code, from disk or compiled now."""
    folder, key = private_folder("translated"), region_key(region, kind)
    path = folder / f"{key}.o" if folder else None
    name = f"region_{key}"
    code = read_object(path) if path else None
    if code is None:
        code = compile_region(region, name, kind)
        if path:
            write_object(path, code)
    load_object(code)
    return address_of(name)
