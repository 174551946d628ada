"""Builds the example firmware in `examples/`, for the tests and for people. examples/README.md says how to add one."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

from firmware_sim.firmware import FOLDER
from firmware_sim.firmware.boot2 import assembly, seal
from firmware_sim.firmware.build import CROSS, require_compiler
from firmware_sim.firmware.uf2 import FLASH_BASE, uf2_blocks
from shared.errors import BadInputError, CrustwatchError
from shared.output_folder import output_folder

EXAMPLES = FOLDER / "examples"
COMMON = EXAMPLES / "common"
SOURCES = FOLDER / "src"
SHARED_PARTS = ("capture.c", "clocks.c", "memory.c", "sensor.c")  # of the firmware; what is not used is left out
BASES = {"flash": FLASH_BASE, "sram": 0x20000000}
CPU = ("-mcpu=cortex-m0plus", "-mthumb")
# No loop may become a call of memcpy: memcpy itself must not.
COMPILE = (
    *("-std=gnu11", "-O2", "-g", "-ffreestanding", "-fno-tree-loop-distribute-patterns"),
    *("-ffunction-sections", "-fdata-sections", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"),
)
LINK = ("-nostdlib", "-static", "-Wl,--gc-sections,--build-id=none,--fatal-warnings,--no-warn-rwx-segments")


class Example(NamedTuple):
    """One example."""

    name: str
    description: str


class Built(NamedTuple):
    """The files of a build."""

    elf: Path
    uf2: Path


def list_examples() -> list[Example]:
    """All examples by name; the description is the first comment line of main.c."""
    found = []
    for main in sorted(EXAMPLES.glob("*/main.c")):
        first = main.read_text(encoding="utf-8").splitlines()[0]
        found.append(Example(main.parent.name, first.strip("/* ")))
    return found


def build_example(name: str, out: Path, *, memory: str = "flash") -> Built:
    """Write NAME.elf and NAME.uf2 to the folder `out`; `memory` says where the code runs, "flash" or "sram".

    Raises MissingPartError without the compiler, BadInputError for an unknown name, CrustwatchError when it does not
    build.
    """
    names = [example.name for example in list_examples()]
    if name not in names:
        raise BadInputError(f"no example is called {name}: {', '.join(names)}")
    if memory not in BASES:
        raise BadInputError(f"an example runs from {' or '.join(BASES)}, not from {memory}")
    require_compiler()
    folder = EXAMPLES / name
    sources = [*sorted(folder.glob("*.c")), *sorted(folder.glob("*.S"))]
    sources += [*sorted(COMMON.glob("*.c")), *sorted(COMMON.glob("*.S")), *(SOURCES / part for part in SHARED_PARTS)]
    output_folder(out)
    elf, uf2 = out / f"{name}.elf", out / f"{name}.uf2"
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        boot2 = work / "boot2_image.S"
        boot2.write_text(assembly(seal(_boot2_code(work))), encoding="utf-8")
        # Relative paths and named objects: what a build contains does not depend on where the tree is.
        maps = (f"-ffile-prefix-map={FOLDER}/=", f"-ffile-prefix-map={work}/=")
        includes = (f"-I{folder}", f"-I{COMMON}", f"-I{SOURCES}")
        objects = []
        for i, source in enumerate([*(source.relative_to(FOLDER) for source in sources), boot2]):
            objects.append(f"{i}-{source.stem}.o")
            _run(f"{CROSS}gcc", *CPU, *COMPILE, *maps, *includes, "-c", str(source), "-o", str(work / objects[-1]))
        script = ("-T", str(COMMON / f"{memory}.ld"))
        _run(f"{CROSS}gcc", *CPU, *LINK, *script, *objects, "-lgcc", "-o", str(elf.resolve()), folder=work)
        _run(f"{CROSS}objcopy", "-O", "binary", str(elf.resolve()), "image.bin", folder=work)
        uf2.write_bytes(uf2_blocks((work / "image.bin").read_bytes(), BASES[memory]))
    return Built(elf, uf2)


def _boot2_code(work: Path) -> bytes:
    """The second stage, assembled to address 0 without its CRC."""
    place = ("-nostdlib", "-Wl,-Ttext=0,-eboot2,--section-start=.boot2=0,--build-id=none")
    _run(f"{CROSS}gcc", *CPU, *place, "src/boot2.S", "-o", str(work / "boot2.elf"))
    _run(f"{CROSS}objcopy", "-O", "binary", str(work / "boot2.elf"), str(work / "boot2.bin"))
    return (work / "boot2.bin").read_bytes()


def _run(*command: str, folder: Path = FOLDER) -> None:
    """Run a tool of the cross compiler in `folder`. Raises CrustwatchError with what it said."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CrustwatchError(f"{command[0]} failed:\n{done.stdout}{done.stderr}".rstrip())
