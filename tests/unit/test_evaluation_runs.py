"""The benchmarks' runners: ledgers that survive a kill, batches, tables in both dialects, bad question files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from cloud_command import crustwatch
from PIL import Image
from spatial_folder import write_folder

from cloud.evaluation.ledger import Ledger
from shared.errors import BadInputError

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("small") / "model", vocabulary="pizza")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    random = np.random.default_rng(0)
    for scene in ("scannet/s1", "scannet/s2", "s3"):
        (root / scene).mkdir(parents=True)
        for index in range(4):
            frame = random.integers(0, 256, (40, 60, 3), dtype=np.uint8)
            Image.fromarray(frame).save(root / scene / f"{index}.png")
    return root


@pytest.fixture
def vsi(tmp_path: Path) -> Path:
    counting = {"question_type": "object_counting", "question": "How many chair(s)?", "options": None}
    choice = {"question_type": "object_rel_distance", "question": "Which?", "options": ["A. bed", "B. tv"]}
    rows = [
        {"id": index, "dataset": "scannet", "scene_name": f"s{1 + index % 2}", **kind, "ground_truth": truth}
        for index, (kind, truth) in enumerate(
            [(counting, "4"), (choice, "A"), (counting, 2), (choice, "B"), (counting, "7")]
        )
    ]
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_vsibench_goes_on_where_it_was_stopped(folder: Path, videos: Path, vsi: Path, tmp_path: Path) -> None:
    out = tmp_path / "run" / "vsi.jsonl"
    command = ["eval", "vsibench", "--model", folder, "--questions", vsi, "--videos", videos, "--threads", 1]
    command += ["--frames", 4, "--max-tokens", 6, "--batch", 2]
    whole = json.loads(crustwatch(*command, "--out", out, "--json"))
    assert set(whole) == {"reference", "official"}
    assert whole["reference"]["counts"] == {"object_counting": 3, "object_rel_distance": 2}
    lines = out.read_bytes().splitlines(keepends=True)
    assert len(lines) == 6
    out.write_bytes(b"".join(lines[:3]) + lines[3][:20])  # killed while it wrote the third answer
    table = crustwatch(*command, "--out", out)
    assert sorted(out.read_bytes().splitlines()) == sorted(line.rstrip() for line in lines)
    assert "reference" in table.splitlines()[0]
    assert "official" in table.splitlines()[0]
    assert "all, mean over types" in table
    ElementTree.parse(out.with_suffix(".svg"))  # noqa: S314 - written by this test
    assert json.loads(out.with_suffix(".summary.json").read_text(encoding="utf-8")) == whole
    # one by one the answers are the same
    crustwatch(*command[:-1], 1, "--out", tmp_path / "single.jsonl")
    single = [json.loads(line) for line in (tmp_path / "single.jsonl").read_text(encoding="utf-8").splitlines()[1:]]
    assert sorted(map(str, single)) == sorted(str(json.loads(line)) for line in lines[1:])
    with pytest.raises(BadInputError, match=r"another run \(max_tokens differ"):
        crustwatch(*command, "--out", out, "--max-tokens", 7)


def test_scanqa(folder: Path, videos: Path, tmp_path: Path) -> None:
    rows = [
        {"scene_id": "s3", "question_id": f"q{index}", "question": "What is brown?", "answers": ["table", "desk"]}
        for index in range(3)
    ]
    (tmp_path / "val.json").write_text(json.dumps(rows), encoding="utf-8")
    command = ["eval", "scanqa", "--model", folder, "--questions", tmp_path / "val.json", "--videos", videos]
    command += ["--out", tmp_path / "out.jsonl", "--max-tokens", 4, "--threads", 1, "--limit", 2]
    found = json.loads(crustwatch(*command, "--json"))
    assert found["questions"] == 2
    assert found["exact_match"] == 0.0
    assert "ScanQA, 2 questions" in crustwatch(*command)


def test_bakes_in_batches_and_resumed(tmp_path: Path) -> None:
    command = ["eval", "bakes", "--seed", 3052, "--threads", 1, "--json"]
    alone = json.loads(crustwatch(*command, "--count", 3))
    out = tmp_path / "bakes.jsonl"
    crustwatch(*command, "--count", 2, "--out", out)
    together = json.loads(crustwatch(*command, "--count", 3, "--out", out, "--batch", 3))
    varying = {"batch", "seconds_p50", "seconds_p99"}
    assert {name: value for name, value in together.items() if name not in varying} == {
        name: value for name, value in alone.items() if name not in varying
    }
    assert len(out.read_bytes().splitlines()) == 4
    with pytest.raises(BadInputError, match="another run"):
        crustwatch(*command[:2], "--seed", 3053, "--threads", 1, "--count", 1, "--out", out)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no questions"),
        ("{", "neither a JSON list nor JSON lines"),
        ("[1]", "no questions"),
        ('[{"dataset": "scannet"}]', "lacks 'question_type'"),
        ('[{"question_type": "riddle"}]', "unknown VSI-Bench question type"),
    ],
)
def test_bad_question_files_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "q.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError, match=words):
        crustwatch("eval", "vsibench", "--questions", path, "--videos", tmp_path, "--out", tmp_path / "o.jsonl")
    with pytest.raises(BadInputError, match="cannot be read"):
        crustwatch("eval", "scanqa", "--questions", tmp_path / "x", "--videos", tmp_path, "--out", tmp_path / "o.jsonl")


@pytest.mark.parametrize("text", ["nonsense", "nonsense\n", '{"a": 1}\n', "[]\n", '{"run": {"a": 1}}\n{"x": 1}\n'])
def test_a_file_that_is_no_ledger_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(text, encoding="utf-8")
    run: dict[str, Any] = {"a": 1}
    with pytest.raises(BadInputError, match="no file of answers"):
        Ledger(path, run)
    assert path.read_text(encoding="utf-8") == text
