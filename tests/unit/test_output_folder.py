"""Where a command writes is looked at before its work, and what is wrong with it is one line."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from cloud_command import crustwatch
from typer.testing import CliRunner

from cloud.evaluation.ledger import Ledger, read_ledger
from edge import cli
from edge.certification import commands as certification
from edge.demo.program import DemoOptions, run
from edge.learning import commands as learning
from edge.learning import search_commands
from shared.errors import BadInputError
from shared.output_folder import output_file, output_folder


@pytest.fixture(autouse=True)
def a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")


def test_folders_are_made_and_hold_nothing_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert output_folder(folder) == output_folder(folder) == folder
    assert list(folder.iterdir()) == []
    assert output_file(tmp_path / "c" / "new.json") == tmp_path / "c" / "new.json"
    assert list((tmp_path / "c").iterdir()) == []
    output_file(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "said"), [("file", "is a file: name a folder"), ("file/x", "cannot be written: Not a directory")]
)
def test_what_is_no_folder_is_refused(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError) as refused:
        output_folder(tmp_path / name)
    assert str(refused.value) == f"{tmp_path / name}: {said}"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="is a folder: name a file"):
        output_file(tmp_path)
    with pytest.raises(BadInputError, match="file: is a file: name a folder"):
        output_file(tmp_path / "file" / "x.json")


def test_a_folder_of_the_system_is_refused() -> None:
    with pytest.raises(BadInputError, match="cannot be written"):
        output_folder(Path("/proc/self"))


def test_a_demos_picture_is_refused_before_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.demo.program._demo", None)
    options = DemoOptions(
        **{field.name: None for field in fields(DemoOptions)}
        | {"broker": "auto", "folder": tmp_path / "run", "picture": tmp_path / "file" / "demo.svg"}
    )
    with pytest.raises(BadInputError, match="file: is a file: name a folder"):
        run(options)


def test_what_is_no_ledger_is_one_short_line(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    for content in (bytes(range(128, 256)) * 40 + b"\n", b"[1]\n", b'{"run": 1}\n[]\n', b"{}\n"):
        path.write_bytes(content)
        for opened in (lambda: Ledger(path, {}), lambda: read_ledger(path)):
            with pytest.raises(BadInputError) as refused:
                opened()
            assert len(str(refused.value)) < len(str(path)) + 80
            assert "\n" not in str(refused.value)
            assert path.read_bytes() == content


@pytest.mark.parametrize("place", [".", "file/answers.jsonl"])
def test_answers_and_tables_go_nowhere_else(place: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"name a (file|folder)"):
        Ledger(tmp_path / place, {})
    with pytest.raises(BadInputError, match=r"name a (file|folder)"):
        crustwatch("eval", "ablations", tmp_path, "--out", tmp_path / place)


@pytest.mark.parametrize(
    "command",
    [
        ["levers", "--out", "file"],
        ["search", "--out", "file"],
        ["search", "--out", "search", "--plot", "file/frontier.png"],
        ["train", "--out", "file"],
        ["evaluate", "--report", "file/report.html"],
        ["certify", "--alpha", "burnt=0.02", "--out", "file/certificate.json"],
    ],
)
def test_the_edges_commands_look_before_their_work(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (learning, search_commands):
        monkeypatch.setattr(module, "parts_for", None)
    monkeypatch.setattr(learning.Judged, "rendered", None)
    monkeypatch.setattr(certification, "load_or_create_key", None)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, command)
    assert isinstance(done.exception, BadInputError), done.output
    assert str(done.exception) == "file: is a file: name a folder"
