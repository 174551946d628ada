"""Rebuild code.py from code.S with arm-none-eabi-gcc: python -m firmware_sim.rp2040.rom.assemble."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CODE_BASE = 0x200  # where the code lies in the emulated ROM
PER_LINE = 12
PREFIX = "arm-none-eabi-"
HEADER = '''"""Thumb code of the emulated boot ROM. Generated from code.S by assemble.py; do not edit."""

from __future__ import annotations

'''


def run(tool: str, *arguments: str | Path) -> str:
    """What a tool of the cross compiler prints."""
    command = [PREFIX + tool, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def assemble() -> tuple[bytes, dict[str, int]]:
    """The code as it lies at CODE_BASE, and the addresses of its global labels."""
    with tempfile.TemporaryDirectory() as folder:
        elf, binary = Path(folder) / "code.elf", Path(folder) / "code.bin"
        link = ["-nostdlib", f"-Wl,-Ttext=0x{CODE_BASE:x},-e,lookup,--build-id=none"]
        run("gcc", "-mcpu=cortex-m0plus", *link, "-o", elf, HERE / "code.S")
        run("objcopy", "-O", "binary", "-j", ".text", elf, binary)
        symbols = run("nm", elf)
        labels = {}
        for line in symbols.splitlines():
            address, kind, name = line.split()
            if kind == "T" and not name.startswith("_"):
                labels[name] = int(address, 16) & ~1
        return binary.read_bytes(), dict(sorted(labels.items(), key=lambda item: item[1]))


def render(code: bytes, labels: dict[str, int]) -> str:
    """Text of code.py."""
    lines = [HEADER, f"CODE_BASE = 0x{CODE_BASE:X}\n", "LABELS = {\n"]
    lines += [f'    "{name}": 0x{address:03X},\n' for name, address in labels.items()]
    lines.append("}\n# Halfwords from CODE_BASE on.\n# fmt: off\nCODE = (\n")
    halves = [f"0x{int.from_bytes(code[i : i + 2], 'little'):04X}" for i in range(0, len(code), 2)]
    lines += [f"    {', '.join(halves[i : i + PER_LINE])},\n" for i in range(0, len(halves), PER_LINE)]
    lines.append(")\n# fmt: on\n")
    return "".join(lines)


if __name__ == "__main__":
    (HERE / "code.py").write_text(render(*assemble()))
