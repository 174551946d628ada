"""Builds the firmware of one model: gate and `.tflite` to C, C to ELF and UF2, and what it takes of the chip."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from firmware_sim.compiler.emit_c import Gate, Sources, emit_service
from firmware_sim.firmware import FOLDER, PREBUILT
from shared.errors import BadInputError, CrustwatchError, MissingPartError
from shared.json_text import NOT_JSON
from shared.output_folder import output_folder

DEFAULT_MODEL = FOLDER.parent.parent / "edge" / "models" / "pizza"
CROSS = "arm-none-eabi-"
STACK_BYTES = 4096  # firmware.ld, scratch
RAM_BYTES = 264 * 1024
FLASH_BYTES = 2 * 1024 * 1024


class GateTables(msgspec.Struct, frozen=True):
    """The part of gate.json that goes into the firmware."""

    lut: tuple[int, ...]  # uint16[256], Q15
    tau_q15: tuple[int, ...]  # uint16[labels]


class Sizes(msgspec.Struct, frozen=True):
    """What a build takes, in bytes. Code and tables are copied to SRAM at reset: `ram_bytes` holds them too."""

    code_bytes: int
    table_bytes: int  # weights, biases, multipliers and other constants
    zeroed_bytes: int  # the network's activations and the buffers
    ram_bytes: int  # all of these, and the stacks
    stack_bytes: int  # of the cores that run the network
    flash_bytes: int
    largest_frame_bytes: int  # of one function on the stack
    largest_frame_function: str


def require_compiler() -> None:
    """Raise MissingPartError unless the cross compiler and make are there."""
    if shutil.which(f"{CROSS}gcc") is None:
        raise MissingPartError(f"{CROSS}gcc is missing: apt install gcc-arm-none-eabi libnewlib-arm-none-eabi")
    if shutil.which("make") is None:
        raise MissingPartError("make is missing: apt install make")


def model_c(model: Path) -> str:
    """The C text of the model in the folder `model`. Raises as `model_sources`."""
    return model_sources(model).c


def model_sources(model: Path) -> Sources:
    """The generated files of the model in the folder `model` (model.tflite, gate.json). Raises BadInputError."""
    try:
        tflite = (model / "model.tflite").read_bytes()
        gate = msgspec.json.decode((model / "gate.json").read_bytes(), type=GateTables)
    except OSError as error:
        raise BadInputError(f"{model}: a model folder has model.tflite and gate.json: {error}") from None
    except NOT_JSON as error:
        raise BadInputError(f"{model / 'gate.json'}: not a gate file: {error}") from None
    return emit_service(tflite, Gate(gate.lut, gate.tau_q15), origin=str(model / "model.tflite"))


def build(model: Path, out: Path) -> Sizes:
    """Write firmware.elf and firmware.uf2 of `model` to the folder `out`; returns their sizes.

    Raises MissingPartError without the compiler, BadInputError for a bad model, CrustwatchError when it does not build.
    """
    require_compiler()
    sources = model_sources(model)
    output_folder(out)
    write_sources(out, sources)
    run_make(out, ["PROGRAM=main"])
    return measure(out)


def write_sources(out: Path, sources: Sources) -> None:
    """Write the generated files to the folder `out`."""
    write_changed(out / "model_data.c", sources.c)
    write_changed(out / "model_code.S", sources.assembly)


def write_changed(path: Path, text: str) -> None:
    """Write `text` unless the file holds it already, so that make need not compile it again."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def run_make(out: Path, variables: list[str]) -> None:
    """Run the firmware's Makefile into `out`. Raises CrustwatchError when it does not build."""
    write_changed(out / "flags.txt", " ".join(variables))  # other flags: compile everything again
    command = ["make", "-C", str(FOLDER), f"BUILD={out.resolve()}", f"PYTHON={sys.executable}", *variables]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CrustwatchError(f"the firmware does not build:\n{done.stdout}{done.stderr}".rstrip())


def measure(out: Path) -> Sizes:
    """The sizes of the build in `out`. Raises CrustwatchError when it does not fit the chip or is not whole."""
    sections = _sections(out / "firmware.elf")
    flash = (out / "firmware.bin").stat().st_size
    stacks = _cores(out) * STACK_BYTES
    ram = sections[".text"] + sections[".tables"] + sections[".bss"] + stacks
    if ram > RAM_BYTES or flash > FLASH_BYTES:
        raise CrustwatchError(f"the firmware needs {ram} bytes of SRAM and {flash} of flash: too much for an RP2040")
    frame, function = max(_frames(out))
    code = sections[".text"] + sections[".flash_text"]
    return Sizes(code, sections[".tables"], sections[".bss"], ram, stacks, flash, frame, function)


def _cores(out: Path) -> int:
    """For how many cores the build's network is divided, from the text that it was compiled from."""
    path = out / "model_data.c"
    try:
        found = re.search(r"\.cores = ([12]),", path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CrustwatchError(f"{path}: cannot be read: {error.strerror}") from None
    if found is None:
        raise CrustwatchError(f"{path}: says no number of cores: build it again")
    return int(found[1])


def _sections(elf: Path) -> dict[str, int]:
    """Bytes of each section."""
    command = [f"{CROSS}size", "-A", str(elf)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CrustwatchError(f"{elf}: its sections cannot be read: {done.stderr.strip()}")
    rows = [line.split() for line in done.stdout.splitlines()]
    return {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[0].startswith(".")}


def _frames(out: Path) -> list[tuple[int, str]]:
    """(bytes on the stack, name) of each function, from gcc's -fstack-usage files."""
    lines = [line for path in out.glob("*.su") for line in path.read_text(encoding="utf-8").splitlines()]
    return [(int(line.split("\t")[1]), line.split("\t")[0].rsplit(":", 1)[1]) for line in lines]


def build_prebuilt(model: Path = DEFAULT_MODEL) -> Sizes:
    """Rebuild the firmware that the package ships. Raises as `build`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        sizes = build(model, out)
        PREBUILT.mkdir(exist_ok=True)
        for name in ("firmware.elf", "firmware.uf2"):
            shutil.copyfile(out / name, PREBUILT / name)
    return sizes
