"""`crustwatch firmware flash`: the drive of a board is a folder with INFO_UF2.TXT, and errors say what to do."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_sim.cli import app
from firmware_sim.firmware import PREBUILT, flashing
from shared.errors import BadInputError, DeviceError, MissingPartError

UF2 = PREBUILT / "firmware.uf2"
INFO = "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: RPI-RP2\r\n"


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    folder = tmp_path / "RPI-RP2"
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text(INFO)
    return folder


@pytest.fixture
def lonely(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Neither board nor picotool; returns the folder that PATH names."""
    monkeypatch.setattr(flashing, "find_drives", list)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def test_a_uf2_file_is_copied_to_the_board_s_drive(drive: Path) -> None:
    shown = CliRunner().invoke(app, ["flash", str(UF2), "--drive", str(drive), "--json"])
    assert json.loads(shown.stdout) == {
        "firmware": str(UF2),
        "bytes": UF2.stat().st_size,
        "way": "drive",
        "drive": str(drive),
    }
    assert (drive / "firmware.uf2").read_bytes() == UF2.read_bytes()


def test_the_mounted_board_is_found(drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "OTHER"
    other.mkdir()
    (other / "INFO_UF2.TXT").write_text(INFO.replace("RPI-RP2", "RP2350"))
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/sda1 {other} vfat rw 0 0\n/dev/sdb1 {str(drive).replace(' ', chr(92) + '040')} vfat rw 0 0\n"
    )
    monkeypatch.setattr(flashing, "MOUNTS", mounts)
    monkeypatch.setattr(flashing, "MOUNT_ROOTS", ())
    assert flashing.flash_board(UF2).drive == str(drive)
    monkeypatch.setattr(flashing, "find_drives", lambda: [drive, other])
    with pytest.raises(BadInputError, match="2 boards are mounted: name one with --drive"):
        flashing.flash_board(UF2)


def test_a_folder_that_is_no_board_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"INFO_UF2\.TXT must say Board-ID: RPI-RP2"):
        flashing.flash_board(UF2, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_whole_uf2_files_for_the_rp2040_are_written(drive: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="takes UF2 files"):
        flashing.flash_board(PREBUILT / "firmware.elf", drive)
    cut = tmp_path / "cut.uf2"
    cut.write_bytes(UF2.read_bytes()[:-512])
    with pytest.raises(BadInputError, match="truncated"):
        flashing.flash_board(cut, drive)
    with pytest.raises(BadInputError, match="cannot be read"):
        flashing.flash_board(tmp_path / "none.uf2", drive)
    assert [path.name for path in drive.iterdir()] == ["INFO_UF2.TXT"]


def test_without_a_board_and_picotool_the_error_says_what_to_do(lonely: Path) -> None:
    with pytest.raises(MissingPartError, match=r"no board.*picotool is not installed: hold BOOTSEL"):
        flashing.flash_board(UF2)


def test_picotool_does_it_when_no_drive_is_mounted(lonely: Path) -> None:
    tool = lonely / "picotool"
    tool.write_text(f'#!/bin/sh\necho "$@" > {lonely}/said\n')
    tool.chmod(0o755)
    assert flashing.flash_board(UF2).way == "picotool"
    assert (lonely / "said").read_text() == f"load -x {UF2}\n"
    tool.write_text("#!/bin/sh\necho No accessible RP2040 devices >&2\nexit 249\n")
    with pytest.raises(DeviceError, match="No accessible RP2040 devices"):
        flashing.flash_board(UF2)


def test_a_board_that_restarts_after_the_last_block_is_no_error(drive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        (drive / "INFO_UF2.TXT").unlink()
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    assert flashing.flash_board(UF2, drive).way == "drive"


def test_a_drive_that_fails_is_an_error(drive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DeviceError, match=r"Input/output error while writing firmware\.uf2"):
        flashing.flash_board(UF2, drive)
