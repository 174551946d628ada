"""Images expire by age and by size, and nothing else is touched."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from line_scene import TASK
from typer.testing import CliRunner

from edge.gateway.outbox import Outbox, OutboxConfig
from edge.purge import app
from shared.atomic_file import replace_file, replacing
from shared.errors import BadInputError
from shared.messages import Classification, LineVerdict
from shared.retention import DAY_S, Limits, purge

NOW = 1_000_000_000.0


def fill(folder: Path, ages_days: list[float], size: int = 100, suffix: str = ".clip") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, age in enumerate(ages_days):
        path = folder / f"{number}{suffix}"
        path.write_bytes(bytes(size))
        os.utime(path, (NOW - age * DAY_S,) * 2)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_old_go(tmp_path: Path) -> None:
    fill(tmp_path / "clips", [0, 10, 29, 31, 400])
    assert purge(tmp_path, (".clip",), Limits(30 * DAY_S), NOW) == (2, 200, 3, 300)
    assert left(tmp_path) == ["0.clip", "1.clip", "2.clip"]


def test_the_oldest_go_first_when_there_are_too_many(tmp_path: Path) -> None:
    fill(tmp_path, [3, 1, 2, 0])
    assert purge(tmp_path, (".clip",), Limits(max_bytes=250), NOW).kept_bytes == 200
    assert left(tmp_path) == ["1.clip", "3.clip"]


def test_halves_that_a_power_cut_left_expire_too(tmp_path: Path) -> None:
    for suffix in (".clip.partial", ".clip.4711.partial", ".txt.4711.partial"):
        fill(tmp_path, [31, 0], suffix=suffix)
    assert purge(tmp_path, (".clip",), Limits(30 * DAY_S), NOW).files == 2
    assert left(tmp_path) == ["0.txt.4711.partial", "1.clip.4711.partial", "1.clip.partial", "1.txt.4711.partial"]


def test_a_write_that_fails_leaves_the_old_file_and_no_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace_file(tmp_path / "state", b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_file(tmp_path / "state", b"new")
    assert left(tmp_path) == ["state"]
    assert (tmp_path / "state").read_bytes() == b"old"


def test_whatever_ends_the_writer_leaves_the_old_file_and_no_half(tmp_path: Path) -> None:
    path = tmp_path / "state"
    for racing in (False, True):
        replace_file(path, b"old", durable=False, racing=racing)
        writing = replacing(path, racing=racing)
        writing.__enter__().write(b"ne")
        assert not writing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        assert left(tmp_path) == ["state"]
        assert path.read_bytes() == b"old"


def test_caches_are_not_synced_and_two_writers_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", None)  # a call would fail
    with replacing(tmp_path / "cache", durable=False, racing=True) as file:
        file.write(b"fi")
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: 1)
            replace_file(tmp_path / "cache", b"second", durable=False, racing=True)
        file.write(b"rst")
    assert left(tmp_path) == ["cache"]
    assert (tmp_path / "cache").read_bytes() == b"first"


def test_a_dry_run_and_other_files_leave_everything(tmp_path: Path) -> None:
    fill(tmp_path / "a", [100])
    fill(tmp_path / "b", [100], suffix=".txt")
    (tmp_path / "outside").mkdir()
    fill(tmp_path / "outside" / "precious", [100])
    (tmp_path / "a" / "link").symlink_to(tmp_path / "outside" / "precious")
    assert purge(tmp_path / "a", (".clip",), Limits(DAY_S), NOW, dry_run=True).files == 1
    assert purge(tmp_path / "b", (".clip",), Limits(DAY_S), NOW).files == 0
    assert purge(tmp_path / "a", (".clip",), Limits(DAY_S), NOW).files == 1
    assert left(tmp_path / "outside") == ["0.clip"], "links must not be followed"


@given(st.lists(st.floats(-5, 100), max_size=12), st.floats(0, 60), st.integers(0, 900))
def test_whatever_there_is_the_limits_hold(ages: list[float], days: float, most: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder, ages)
        done = purge(folder, (".clip",), Limits(days * DAY_S, most), NOW)
        stayed = [NOW - path.stat().st_mtime for path in folder.iterdir()]
        assert all(age <= days * DAY_S for age in stayed)
        assert len(stayed) * 100 == done.kept_bytes <= most
        assert done.files + done.kept_files == len(ages)


def test_purge_says_what_it_deleted(tmp_path: Path) -> None:
    fill(tmp_path / "archive", [10_000, 10_000])
    fill(tmp_path / "archive", [10_000], suffix=".jpg")
    arguments = [str(tmp_path / "archive"), "--days", "30", "--json"]
    told = json.loads(CliRunner().invoke(app, arguments).output)["purged"][str(tmp_path / "archive")]
    assert (told["files"], told["bytes"]) == (2, 200)
    assert left(tmp_path) == ["0.jpg"]
    CliRunner().invoke(app, [*arguments, "--pictures"])
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "nothing to purge"),
        (["."], "name one"),
        (["missing", "--days", "1"], "no such folder"),
        (["--outbox", "missing.db"], "no such file"),
        ([".", "--max-bytes", "inf"], "finite"),
    ],
)
def test_mistakes_are_named(arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, BadInputError)
    assert words in str(done.exception)


def test_a_purged_outbox_holds_no_picture_that_it_has_deleted(tmp_path: Path) -> None:
    path, picture = tmp_path / "outbox.db", b"\xff\xd8 a picture of somebody " * 4000
    edge = Classification("dark", (0,) * 5, 0.4, False, "unsure", 1.0, "measured")
    verdict = LineVerdict("00" * 16, "b", "dark", 0.4, "edge", "provisional", "unsure", 0.0, 0.0, False, edge)
    outbox = Outbox(path, TASK, OutboxConfig())
    outbox.accept_unsure("belt", verdict, picture, "normal", 10, 0)
    outbox.sync()
    assert path.stat().st_mode & 0o777 == 0o600
    outbox._store.execute("PRAGMA secure_delete = OFF")  # Debian's SQLite is built to overwrite, others are not
    outbox._store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    outbox.expire(11)
    outbox.close()
    assert any(picture[:40] in file.read_bytes() for file in tmp_path.iterdir()), "it lies in free blocks"
    done = CliRunner().invoke(app, ["--outbox", str(path)])
    assert done.exit_code == 0, done.exception
    assert not any(picture[:40] in file.read_bytes() for file in tmp_path.iterdir())
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM decided").fetchone() == (1,)
    db.close()
