"""`crustwatch firmware flash`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def flash(
    firmware: Annotated[Path, typer.Argument(help="UF2 file of a build.", metavar="FIRMWARE.uf2")],
    drive: Annotated[
        Path | None, typer.Option("--drive", help="The board's drive; default: the only one that is mounted.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a UF2 file to a board that was plugged in with BOOTSEL held: by its drive, or by picotool.

    Example: crustwatch firmware flash build/firmware/firmware.uf2

    Example: crustwatch firmware flash build/firmware/firmware.uf2 --drive /media/$USER/RPI-RP2
    """
    import msgspec

    from firmware_sim.firmware.flashing import flash_board

    done = flash_board(firmware, drive)
    if as_json:
        typer.echo(msgspec.json.encode(done).decode())
        return
    where = f"to {done.drive}; the board restarts with it" if done.way == "drive" else "by picotool"
    typer.echo(f"{done.firmware}: {done.bytes:,} bytes written {where}")
