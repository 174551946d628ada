"""Photographs with labels: folders, tables, splits by group, and what hostile ones are told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from edge.datasets import LabelledFrames, open_dataset, split_by_group
from edge.datasets.report import run_report
from edge.datasets.split import duplicates
from edge.learning.selective import area_under, risk_at, risk_coverage
from shared.errors import BadInputError
from shared.task import load_task

STATES = load_task("pizza-states")
PIZZA = load_task("pizza")


def photograph(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (60, 80, 3), np.uint8)).save(path)


def folder_of(root: Path, labels: tuple[str, ...], trays: int = 4, each: int = 2) -> Path:
    for index, label in enumerate(labels):
        for tray in range(trays):
            for item in range(each):
                photograph(root / label / f"tray-{tray}" / f"{item}.png", index * 100 + tray * 10 + item)
    return root


def test_a_folder_names_labels_and_groups(tmp_path: Path) -> None:
    folder_of(tmp_path, ("burnt", "basic"))
    photograph(tmp_path / "mixed" / "alone.png", 7)
    (tmp_path / "burnt" / "tray-0" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "burnt" / "notes.txt").write_text("not a photograph")
    data = open_dataset(str(tmp_path), STATES)
    assert len(data) == 17
    assert data.frames.shape == (17, 48, 48, 3)
    assert sorted(set(data.labels.tolist())) == [STATES.index("basic"), STATES.index("burnt"), STATES.index("mixed")]
    assert len(set(data.groups.tolist())) == 9
    assert len(data.skipped) == 1
    assert "broken.jpg" in data.skipped[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("name,label\na.png,burnt\n", "columns path and label"),
        ("path,label\na.png,charcoal\n", "line 2: label 'charcoal' for 'a.png' is not one of"),
        ("path,label\n../a.png,burnt\n", "outside of the table's folder"),
        ("path,label\n/etc/passwd,burnt\n", "outside of the table's folder"),
        ("path,label\n,burnt\n", "line 2"),
        ("path,label\nmissing.png,burnt\n", "no photograph that can be read"),
        ("path,label\n", "no photograph that can be read"),
        ('path,label\n"a.png,burnt\n', "not a CSV table"),
        ("\xff\xfe", "cannot be read|columns"),
    ],
)
def test_tables_that_are_wrong_are_told_where(tmp_path: Path, rows: str, message: str) -> None:
    photograph(tmp_path / "a.png", 1)
    table = tmp_path / "table.csv"
    table.write_bytes(rows.encode("latin-1"))
    with pytest.raises(BadInputError, match=message):
        open_dataset(str(table), PIZZA)


def test_a_table_gives_the_same_frames_as_a_folder(tmp_path: Path) -> None:
    folder_of(tmp_path, ("burnt", "basic"))
    folder = open_dataset(str(tmp_path), STATES)
    lines = ["path,label,group"]
    lines += [
        f"{name},{STATES.labels[label]},{name.rsplit('/', 1)[0]}"
        for name, label in zip(folder.names, folder.labels, strict=True)
    ]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    table = open_dataset(str(tmp_path / "table.csv"), STATES)
    np.testing.assert_array_equal(folder.frames, table.frames)
    np.testing.assert_array_equal(folder.groups, table.groups)


@pytest.mark.parametrize("name", ["nowhere", "empty", "wrong"])
def test_folders_that_are_no_data(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    photograph(tmp_path / "wrong" / "charcoal" / "a.png", 1)
    with pytest.raises(BadInputError):
        open_dataset(str(tmp_path / name), STATES)


@st.composite
def labelled(draw: st.DrawFn) -> LabelledFrames:
    count = draw(st.integers(30, 120))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    frames = rng.integers(0, 4, (count, 2, 2, 3)).astype(np.uint8)  # few values: copies happen
    return LabelledFrames(
        "made up", frames, rng.integers(0, 2, count), rng.integers(0, 12, count), tuple(str(i) for i in range(count))
    )


@given(data=labelled(), seed=st.integers(0, 1000), copy=st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_group_and_no_copy_is_in_two_parts(data: LabelledFrames, seed: int, copy: bool) -> None:
    if copy:
        data.frames[5] = data.frames[0]
        data.frames[9] = data.frames[0]
    try:
        split = split_by_group(data, seed)
    except BadInputError:
        return
    assert sorted(name for part in split for name in part.names) == sorted(data.names)
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert not set(split[one].groups.tolist()) & set(split[two].groups.tolist())
        pixels = {frame.tobytes() for frame in split[one].frames}
        assert not pixels & {frame.tobytes() for frame in split[two].frames}
    again = split_by_group(data, seed)
    assert [part.names for part in again] == [part.names for part in split]


def test_one_label_only_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, ("burnt",), trays=8)
    with pytest.raises(BadInputError, match="one label"):
        split_by_group(open_dataset(str(tmp_path), STATES), 1)


def test_the_report_counts_copies_and_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_of(tmp_path / "data", ("burnt", "basic"), trays=10)
    photograph(tmp_path / "data" / "burnt" / "tray-99" / "copy.png", 0)  # the same pixels as burnt/tray-0/0.png
    assert len(duplicates(open_dataset(str(tmp_path / "data"), STATES))) == 1
    run_report(str(tmp_path / "data"), "pizza-states", tmp_path / "sheet.png", 3, True)
    report = json.loads(capsys.readouterr().out)
    assert (report["items"], report["copies"], report["groups"]) == (41, 1, 21)
    assert sum(report["split"][part]["burnt"] for part in ("train", "held_out", "test")) == 21
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (12 * 48, 6 * (48 + 14))


@given(data=st.data(), count=st.integers(1, 60))
def test_the_risk_coverage_curve_is_a_mean_over_orders(data: st.DataObject, count: int) -> None:
    confidence = np.array(data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count)))
    correct = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    curve = risk_coverage(confidence, correct)
    assert curve[-1] == pytest.approx(1 - correct.mean())
    assert risk_at(curve, 1.0) == curve[-1]
    assert 0 <= area_under(curve) <= 1
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(400):
        order = np.lexsort((rng.random(count), -confidence))
        runs.append(np.cumsum(~correct[order]) / np.arange(1, count + 1))
    np.testing.assert_allclose(curve, np.mean(runs, axis=0), atol=0.12)
