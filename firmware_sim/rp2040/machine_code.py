"""Machine code of this processor: object files on disk, loaded into this process by llvmlite.

A file is the SHA-256 of the object and the object. Objects are machine code: only a folder that belongs to the user and
that nobody else can write is read.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import stat
from pathlib import Path
from typing import Any

from shared.atomic_file import replace_file
from shared.cache_folder import VARIABLE, cache_folder
from shared.errors import MissingPartError

try:
    import llvmlite
    import llvmlite.binding as llvm
except ImportError as error:
    raise MissingPartError("llvmlite is missing: pip install 'crustwatch[sim]'") from error

log = logging.getLogger(__name__)
DIGEST_BYTES = 32


@functools.cache
def processor() -> str:
    """What machine code depends on besides its source: this processor and the version of LLVM."""
    return f"{llvmlite.__version__} {llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def target_machine(opt: int = 2) -> Any:
    """This processor."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=opt, reloc="default", codemodel="jitdefault"
    )


@functools.cache
def engine() -> Any:
    """What holds the machine code, as long as the process lives: tables of boards point into it."""
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())


def load_object(code: bytes) -> None:
    """Make the functions of an object file part of this process."""
    engine().add_object_file(llvm.ObjectFileRef.from_data(code))
    engine().finalize_object()


def address_of(name: str) -> int:
    """Address of a function of a loaded object file."""
    return int(engine().get_function_address(name))


def private_folder(name: str) -> Path | None:
    """A folder of the cache for object files; None when nobody but the user could be sure of it."""
    folder = cache_folder() / name
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        state = folder.stat()
    except OSError as error:
        log.warning("%s: %s; compiled code is not kept: set %s", folder, error.strerror, VARIABLE)
        return None
    if hasattr(os, "getuid") and (state.st_uid != os.getuid() or stat.S_IMODE(state.st_mode) & 0o022):
        log.warning("%s can be written by others: compiled code is not kept", folder)
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
    try:  # not synced: reading finds a damaged file out
        replace_file(path, hashlib.sha256(code).digest() + code, durable=False, racing=True)
    except OSError as error:
        log.debug("%s: %s; compiled code is not kept", path, error.strerror)
