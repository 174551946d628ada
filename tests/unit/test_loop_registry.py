"""The registry: who decides, who is on trial, and the way back; a crash leaves the old state or the new one."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from store_scene import TASK, bake_id
from typer.testing import CliRunner

from edge.cli import app
from edge.devices.model import DEFAULT_MODEL
from edge.loop.registry import Registry
from edge.loop.rows import ShadowRow
from edge.loop.store import Store
from edge.loop.trial import check_trial, trial_of
from shared.errors import BadInputError

MODEL = '{"sha256": "", "files": {}, "parent": null, "added": "2026-01-01T00:00:00Z"}'


def model(folder: Path, mark: bytes) -> Path:
    """A model folder of its own; the registry does not read the model."""
    shutil.copytree(DEFAULT_MODEL, folder)
    (folder / "model.tflite").write_bytes((DEFAULT_MODEL / "model.tflite").read_bytes() + mark)
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.create(
        tmp_path / "models", "pizza", model(tmp_path / "a", b"a"), lambda: datetime(2026, 1, 2, tzinfo=UTC)
    )


def test_a_challenger_is_promoted_and_the_way_back_is_open(registry: Registry, tmp_path: Path) -> None:
    first = registry.state.champion
    second = registry.add_challenger(model(tmp_path / "b", b"b"), {"accepted": True})
    assert (registry.champion.name, registry.challenger and registry.challenger.name) == (first, second)
    assert registry.promote("better") == second
    third = Registry.open(registry.folder).add_challenger(model(tmp_path / "c", b"c"), {})
    registry = Registry.open(registry.folder)
    registry.promote("better still")
    assert (registry.state.champion, registry.state.previous) == (third, (first, second))
    assert registry.rollback("complaints") == second
    assert registry.rollback("more of them") == first
    with pytest.raises(BadInputError, match="there is none before it"):
        registry.rollback("again")
    again = Registry.open(registry.folder).state
    assert [event.what for event in again.events] == [
        *("founded", "added", "promoted", "added", "promoted", "rolled_back", "rolled_back"),
    ]
    assert again.models[second].parent == first


def test_one_is_on_trial_at_a_time_and_may_be_dropped(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no challenger"):
        registry.promote("")
    name = registry.add_challenger(model(tmp_path / "b", b"b"), {})
    with pytest.raises(BadInputError, match="is on trial"):
        registry.add_challenger(model(tmp_path / "c", b"c"), {})
    assert registry.drop("worse") == name
    with pytest.raises(BadInputError, match="registered already"):
        registry.add_challenger(tmp_path / "b", {})


def test_files_that_were_changed_decide_nothing(registry: Registry, tmp_path: Path) -> None:
    first = registry.folder / registry.state.champion / "gate.json"
    registry.add_challenger(model(tmp_path / "b", b"b"), {})
    registry.promote("")
    first.write_bytes(first.read_bytes() + b" ")
    with pytest.raises(BadInputError, match=r"gate\.json: was changed"):
        registry.rollback("")
    assert Registry.open(registry.folder).champion.name == registry.state.champion
    (registry.folder / registry.state.champion / "model.tflite").unlink()
    with pytest.raises(BadInputError, match="cannot be read"):
        _ = Registry.open(registry.folder).champion


def test_a_copy_that_was_cut_short_is_made_again(registry: Registry, tmp_path: Path) -> None:
    folder = model(tmp_path / "b", b"b")
    name = registry.add_challenger(folder, {})
    registry.drop("")
    text = (registry.folder / "registry.json").read_text()
    (registry.folder / "registry.json").write_text(text.replace(name, "pizza-other"))  # as before it came in
    shutil.rmtree(registry.folder / name)
    (registry.folder / f"{name}.partial").mkdir()
    again = Registry.open(registry.folder)
    assert again.add_challenger(folder, {}) == name
    assert again.challenger is not None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not a registry"),
        ('{"schema": 2, "task": "pizza", "champion": "a", "models": {}}', "schema 2"),
        ('{"schema": 1, "task": "pizza", "champion": "a", "models": {}}', "does not hold"),
        (f'{{"schema": 1, "task": "pizza", "champion": "..", "models": {{"..": {MODEL}}}}}', "like a path"),
    ],
)
def test_a_damaged_registry_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "registry.json").write_text(text)
    with pytest.raises(BadInputError, match=words):
        Registry.open(tmp_path)


def shadow(number: int, ours: str, theirs: str, cloud: str | None) -> ShadowRow:
    return ShadowRow(bake_id(number), f"b{number}", 1.0, "old", "new", ours, "unsure", theirs, "sure", 0.9, cloud)


def test_a_trial_counts_who_the_cloud_sided_with() -> None:
    rows = [shadow(n, "dark", "burnt", "burnt") for n in range(8)] + [shadow(8, "dark", "burnt", "dark")]
    rows += [shadow(n, "dark", "dark", "dark") for n in range(9, 60)]
    rows += [shadow(60, "dark", "raw", None), shadow(0, "dark", "burnt", "burnt")]  # and one bake that came again
    trial = trial_of(rows, "old", "new")
    assert trial[:7] == (61, 51, 61, 0, 9, 8, 1)
    assert trial.p == pytest.approx(2 * 10 / 2**9)
    check_trial(trial)
    with pytest.raises(BadInputError, match="at least 50"):
        check_trial(trial_of(rows[:20], "old", "new"))
    against = [shadow(n, "dark", "burnt", "dark") for n in range(12)] + rows[9:60]
    with pytest.raises(BadInputError, match="speaks against"):
        check_trial(trial_of(against, "old", "new"))


def test_commands(tmp_path: Path) -> None:
    run, folder = CliRunner().invoke, str(tmp_path / "models")
    begun = json.loads(
        run(app, ["models", "--registry", folder, "--found", str(model(tmp_path / "a", b"a")), "--json"]).output
    )
    assert (begun["task"], begun["challenger"], begun["trial"]) == ("pizza", None, None)
    registry = Registry.open(tmp_path / "models")
    name = registry.add_challenger(model(tmp_path / "b", b"b"), {})
    store = Store.begin(tmp_path / "store", TASK)
    old, new = (registry.state.models[one].sha256 for one in (registry.state.champion, name))
    for number in range(60):
        store.add_shadow(ShadowRow(bake_id(number), "b", 1.0, old, new, "dark", "sure", "dark", "sure", 0.9, None))
    refused = run(app, ["promote", "--registry", folder, "--store", str(store.folder)])
    assert isinstance(refused.exception, BadInputError)
    assert "on 0 bakes" in str(refused.exception)  # rows are written 64 at a time
    store.flush()
    assert (
        "60 bakes, 60 with the same label"
        in run(app, ["models", "--registry", folder, "--store", str(store.folder)]).output
    )
    promoted = run(app, ["promote", "--registry", folder, "--store", str(store.folder), "--json"])
    assert json.loads(promoted.output)["champion"] == name
    back = json.loads(run(app, ["rollback", "--registry", folder, "--why", "test", "--json"]).output)
    assert back["champion"] == begun["champion"]
    assert "rolled_back" in run(app, ["models", "--registry", folder]).output


def test_a_model_of_another_task_begins_no_registry(tmp_path: Path) -> None:
    elpv = str(DEFAULT_MODEL.parent / "elpv")
    refused = CliRunner().invoke(app, ["models", "--registry", str(tmp_path / "models"), "--found", elpv])
    assert isinstance(refused.exception, BadInputError)
    assert "2 labels, task pizza has 5" in str(refused.exception)
    assert not (tmp_path / "models").exists()
