"""Puts a UF2 file onto a board: copied to the drive that its boot ROM offers, or by picotool."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec

from firmware_sim.rp2040.image import load_image
from shared.errors import BadInputError, DeviceError, MissingPartError

UF2_MAGIC = b"UF2\n"  # the first word of each block
INFO = "INFO_UF2.TXT"  # on the drive of every UF2 boot loader
BOARD_ID = "RPI-RP2"  # the RP2040's
MOUNTS = Path("/proc/mounts")
MOUNT_ROOTS = ("/Volumes/*", "/media/*", "/media/*/*", "/run/media/*/*", "/mnt/*")
BOOTSEL = "hold BOOTSEL while plugging the board in"
GONE = (errno.EIO, errno.ENODEV, errno.ENOENT, errno.ENXIO)  # of a board that restarted after its last block


class Flashed(msgspec.Struct, frozen=True):
    """What was written where."""

    firmware: str
    bytes: int
    way: str  # "drive" or "picotool"
    drive: str = ""


def flash_board(firmware: Path, drive: Path | None = None) -> Flashed:
    """Write `firmware` (UF2) to the drive of a board in BOOTSEL mode, the only one mounted unless `drive` names it.

    Without a drive picotool does it, when it is installed. Raises BadInputError for a file or folder that is not what
    it should be, MissingPartError without drive and picotool, DeviceError when writing fails.
    """
    data = _uf2(firmware)
    if drive is not None:
        if not is_board(drive):
            raise BadInputError(f"{drive}: no RP2040's drive: its {INFO} must say Board-ID: {BOARD_ID}; {BOOTSEL}")
        return _copied(firmware, data, drive)
    found = find_drives()
    if len(found) > 1:
        raise BadInputError(f"{len(found)} boards are mounted: name one with --drive: {', '.join(map(str, found))}")
    if found:
        return _copied(firmware, data, found[0])
    tool = shutil.which("picotool")
    if tool is None:
        raise MissingPartError(f"no board's drive is mounted and picotool is not installed: {BOOTSEL}, or --drive")
    command = [tool, "load", "-x", str(firmware)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
        raise DeviceError(f"picotool load -x {firmware}: {said}; {BOOTSEL}")
    return Flashed(str(firmware), len(data), "picotool")


def is_board(drive: Path) -> bool:
    """Whether `drive` is what an RP2040's boot ROM offers."""
    try:
        text = (drive / INFO).read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return any(line.split(":")[-1].strip() == BOARD_ID for line in text.splitlines() if line.startswith("Board-ID"))


def find_drives() -> list[Path]:
    """Mounted drives of boards in BOOTSEL mode."""
    return sorted({folder for folder in _mounted() if is_board(folder)})


def _mounted() -> Iterable[Path]:
    if MOUNTS.exists():
        for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split(" ")
            if len(fields) > 2 and fields[2] in ("vfat", "msdos", "fuseblk"):
                yield Path(fields[1].encode().decode("unicode_escape"))
    for pattern in MOUNT_ROOTS:
        yield from Path("/").glob(pattern[1:])


def _uf2(firmware: Path) -> bytes:
    try:
        data = firmware.read_bytes()
    except OSError as error:
        raise BadInputError(f"{firmware}: cannot be read: {error.strerror}") from None
    if data[:4] != UF2_MAGIC:
        raise BadInputError(f"{firmware}: a board's drive takes UF2 files: give firmware.uf2")
    load_image(data)
    return data


def _copied(firmware: Path, data: bytes, drive: Path) -> Flashed:
    """Copy without truncating on errors; the board restarts, and its drive goes, as soon as it has the last block."""
    try:
        target = os.open(drive / firmware.name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            at = 0
            while at < len(data):
                at += os.write(target, data[at:])
            _synced(target, drive)
        finally:
            _closed(target)
    except OSError as error:
        raise DeviceError(f"{drive}: {error.strerror} while writing {firmware.name}; {BOOTSEL} and try again") from None
    return Flashed(str(firmware), len(data), "drive", str(drive))


def _synced(target: int, drive: Path) -> None:
    try:
        os.fsync(target)
    except OSError as error:
        if error.errno not in GONE or is_board(drive):
            raise


def _closed(target: int) -> None:
    try:
        os.close(target)
    except OSError as error:
        if error.errno not in GONE:
            raise
