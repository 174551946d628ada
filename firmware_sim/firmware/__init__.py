"""The firmware: C sources, their builds for the chip and for the host, and the ready-built default."""

from pathlib import Path

FOLDER = Path(__file__).parent
PREBUILT = FOLDER / "prebuilt"
"""firmware.elf and firmware.uf2 of the default model, rebuilt by `crustwatch firmware release`."""
