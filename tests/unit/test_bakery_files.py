"""Bakes on disk, contact sheets and the command that makes both."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from shared.bakery import render_bake
from shared.bakery.cli import app
from shared.bakery.files import read_bake, read_bakes, write_bake
from shared.errors import BadInputError

SEED = 3


@pytest.fixture(scope="module")
def bake():
    return render_bake(SEED, 0)


@pytest.fixture
def folder(bake, tmp_path):
    return write_bake(tmp_path, bake.frames, bake.depth, bake.truth)


def test_round_trip(bake, folder):
    assert folder.name == "bake-000000"
    stored = read_bake(folder)
    assert stored.truth == bake.truth
    assert np.abs(stored.depth - bake.depth).max() <= 0.51e-4
    apart = np.abs(stored.frames.astype(int) - bake.frames)
    assert apart.mean() < 4.0


def test_writing_again_replaces(bake, folder):
    (folder / "stray").touch()
    write_bake(folder.parent, bake.frames, bake.depth, bake.truth)
    assert not (folder / "stray").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["bake-000000"]


def test_folder_that_cannot_be_written_is_bad_input(bake, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match="cannot write bakes to"):
        write_bake(tmp_path / "file", bake.frames, bake.depth, bake.truth)


def test_reading_what_is_no_bake_names_what_is_wrong(folder):
    with pytest.raises(BadInputError, match="holds no rendered bakes"):
        next(read_bakes(folder.parent / "nowhere"))
    (folder / "depth-3.png").write_bytes(b"no picture")
    with pytest.raises(BadInputError, match=r"depth-3\.png"):
        read_bake(folder)
    Image.new("I;16", (8, 8)).save(folder / "depth-3.png")
    with pytest.raises(BadInputError, match="8x8 pixels of mode I;16, not 320x240"):
        read_bake(folder)
    Image.new("RGB", (320, 240)).save(folder / "depth-3.png")
    with pytest.raises(BadInputError, match="320x240 pixels of mode RGB"):
        read_bake(folder)
    (folder / "truth.json").write_text('{"bake_id": 7}')
    with pytest.raises(BadInputError, match=r"truth\.json"):
        read_bake(folder)
    (folder / "truth.json").unlink()
    with pytest.raises(BadInputError, match="no rendered bake"):
        read_bake(folder)


def test_command_writes_bakes_and_says_so_in_one_object(tmp_path):
    arguments = ["--count", "2", "--seed", str(SEED), "--out", str(tmp_path / "bakes"), "--json"]
    result = CliRunner().invoke(app, [*arguments, "--contact-sheet", str(tmp_path / "sheet.png")])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["bakes"] == 2
    assert summary["data"] == "rendered"
    assert sum(summary["labels"].values()) == 2
    assert [stored.truth.index for stored in read_bakes(tmp_path / "bakes")] == [0, 1]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (484, 2 * 136)  # one strip of three half-size frames under the other


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "file"], "file: is a file: name a folder"),
        (["--out", "file/below"], "file/below: cannot be written: Not a directory"),
        (["--contact-sheet", "file/sheet.png"], "file: is a file: name a folder"),
        (["--contact-sheet", "sheet.nosuch"], "sheet.nosuch: no picture has such a name: end it in .png or .jpg"),
        (["--contact-sheet", "folder.png"], "folder.png: is a folder: name a file"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_rendering(arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("shared.bakery.bake.iter_bakes", lambda *_, **__: ())  # nothing is rendered
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    result = CliRunner().invoke(app, ["--count", "1", *arguments])
    assert isinstance(result.exception, BadInputError)
    assert str(result.exception) == said


@pytest.mark.parametrize(
    "arguments",
    [["--count", "0", "--out", "x"], ["--count", "1"], ["--count", "1", "--seed", "-1", "--out", "x"]],
)
def test_bad_options_are_bad_input(arguments):
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, BadInputError)
