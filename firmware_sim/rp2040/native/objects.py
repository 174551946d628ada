"""From LLVM IR to machine code: compiled by llvmlite, which numba brings, kept on disk as object files.

A file is the SHA-256 of the object and the object. Its name is a hash of the guest code, of the sources in this package
and of the processor. Objects are machine code: only a folder that belongs to the user and that nobody else can write
is read.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import stat
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm

from firmware_sim.rp2040.native.dual import write_function
from firmware_sim.rp2040.native.region import Region
from firmware_sim.rp2040.native.worker import Kind
from shared.cache_folder import cache_folder

log = logging.getLogger(__name__)
DIGEST_BYTES = 32
SOURCES = ("accesses.py", "dual.py", "function.py", "instructions.py", "objects.py", "region.py", "writer.py")
SOURCES_ABOVE = ("banks.py", "decode.py", "layout.py")


@functools.cache
def translator_digest() -> bytes:
    """Changes with everything besides the guest code that the machine code depends on."""
    here = Path(__file__).parent
    digest = hashlib.sha256(llvmlite.__version__.encode())
    digest.update(f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}".encode())
    for path in (*(here / name for name in SOURCES), *(here.parent / name for name in SOURCES_ABOVE)):
        digest.update(path.read_bytes())
    return digest.digest()


def target_machine() -> Any:
    """This processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2, reloc="default", codemodel="jitdefault"
    )


@functools.cache
def engine() -> Any:
    """What holds the machine code, as long as the process lives: tables of boards point into it."""
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())


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


def load_code(code: bytes, name: str) -> int:
    """Address of the function in an object file."""
    engine().add_object_file(llvm.ObjectFileRef.from_data(code))
    engine().finalize_object()
    return int(engine().get_function_address(name))


def private_folder() -> Path | None:
    """Where object files are kept; None when nobody but the user could be sure of it."""
    folder = cache_folder() / "translated"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        state = folder.stat()
    except OSError as error:
        log.debug("%s: %s; translated code is not kept", folder, error.strerror)
        return None
    if hasattr(os, "getuid") and (state.st_uid != os.getuid() or stat.S_IMODE(state.st_mode) & 0o022):
        log.warning("%s can be written by others: translated code is not kept", folder)
        return None
    return folder


def read_object(path: Path) -> bytes | None:
    """An object file; None when there is none or it is damaged."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    code = data[DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == data[:DIGEST_BYTES] else None


def write_object(path: Path, code: bytes) -> None:
    """Keep an object file, whole or not at all."""
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        partial.write_bytes(hashlib.sha256(code).digest() + code)
        partial.replace(path)
    except OSError as error:
        log.debug("%s: %s; translated code is not kept", path, error.strerror)


def region_key(region: Region, kind: Kind) -> str:
    """Name of a region's translation."""
    return hashlib.sha256(translator_digest() + kind.encode() + region.key_bytes()).hexdigest()


def load_region(region: Region, kind: Kind) -> int:
    """Address of the region's machine code, from disk or compiled now."""
    folder, key = private_folder(), region_key(region, kind)
    path = folder / f"{key}.o" if folder else None
    name = f"region_{key}"
    code = read_object(path) if path else None
    if code is None:
        code = compile_region(region, name, kind)
        if path:
            write_object(path, code)
    return load_code(code, name)
