"""Fine-tuning of checkpoints of the published layout, on a small one: what learns, what stays, stopping, going on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from spatial_folder import write_folder

from cloud.curve import FOLDER
from cloud.loading import load_checkpoint
from cloud.spatial_mllm.model import IGNORED_LABEL
from cloud.tuning.adapters import ADAPTER_NAME
from cloud.tuning.commands import run_tuning
from cloud.tuning.examples import BakeLessons, FileLessons, make_batch
from cloud.tuning.options import TuningOptions
from cloud.tuning.recipe import ADAPTERS, Recipe
from cloud.tuning.run import STATE_NAME, Tuning
from shared.errors import BadInputError
from shared.task import load_task

torch.set_num_threads(1)
FAST = Recipe(rate=1e-2, bridge_rate=1e-2, batch=2, accumulate=2, epochs=8, saves=3)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four records, two about pictures and two about a video: the brightness decides the answer."""
    folder = tmp_path_factory.mktemp("data")
    rows = []
    for number, (level, answer) in enumerate([(20, "raw"), (230, "burnt")] * 2):
        clip = folder / f"clip-{number}"
        clip.mkdir()
        for place in range(3):
            Image.new("RGB", (64, 48), (level, level, level)).save(clip / f"{place}.png")
        if number < 2:
            rows.append({"video": clip.name, "question": "How well is it?", "answer": answer})
        else:
            pictures = [f"{clip.name}/0.png", f"{clip.name}/1.png"]
            turns = [{"from": "human", "value": "<image><image>\nHow well is it?"}, {"from": "gpt", "value": answer}]
            rows.append({"images": pictures, "conversations": turns})
    file = folder / "lessons.jsonl"
    file.write_text("".join(json.dumps({**row, "id": n}) + "\n" for n, row in enumerate(rows)))
    return file


def tuning(
    base: Path, data: Path, out: Path, recipe: Recipe = FAST, *, resume: bool = False, dtype: str = "float32"
) -> Tuning:
    torch.manual_seed(0)
    loaded = load_checkpoint(str(base), dtype=dtype)
    return Tuning(loaded, FileLessons(data, data.parent, 4), recipe, out, resume=resume, data="test")


def test_the_default_is_the_reference_recipe() -> None:
    recipe = Recipe()
    assert (recipe.rate, recipe.bridge_rate, recipe.weight_decay) == (7e-6, 2e-5, 0.1)
    assert (recipe.warmup, recipe.epochs, recipe.batch, recipe.accumulate) == (0.03, 1.0, 1, 8)
    assert recipe.steps(135_000, 6) == math.ceil(135_000 / 48)
    factors = [recipe.factor(step, 100) for step in range(100)]
    assert factors[:4] == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0])
    assert all(a > b for a, b in pairwise(factors[3:]))
    assert factors[-1] < 0.001


def test_it_learns_and_only_what_should(base: Path, data: Path, tmp_path: Path) -> None:
    run = tuning(base, data, tmp_path / "run")
    run.go(lambda now: None)
    assert run.steps == len(run.losses) == 8
    assert run.losses[-1] < 0.5 * run.losses[0]
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    track = {name for name in before if ".track_head." in name}
    assert set(before) - track == set(after)  # the heads are still there
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed == {name for name in after if name.startswith(("model.", "connector.", "visual.merger."))}
    assert list((tmp_path / "run" / FOLDER).glob("events*"))
    assert json.loads((tmp_path / "run" / "card.json").read_text())["steps"] == 8
    again = load_checkpoint(str(tmp_path / "run"))  # an ordinary checkpoint, strictly loaded
    assert torch.equal(again.model.connector.mlp[0].weight, run.model.connector.mlp[0].weight)


def test_a_stopped_run_goes_on_as_if_it_had_not_been(base: Path, data: Path, tmp_path: Path) -> None:
    whole = tuning(base, data, tmp_path / "whole")
    whole.go(lambda now: None)
    tuning(base, data, tmp_path / "parts").go(lambda now: None, stop_after=3)
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    with pytest.raises(BadInputError, match="--resume"):
        tuning(base, data, tmp_path / "parts")
    with pytest.raises(BadInputError, match="another model, data or recipe"):
        tuning(base, data, tmp_path / "parts", replace(FAST, rate=1e-3), resume=True)
    rest = tuning(base, data, tmp_path / "parts", resume=True)
    assert rest.step == 3
    rest.go(lambda now: None)
    assert rest.losses == whole.losses
    assert (tmp_path / "parts" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model.safetensors"
    ).read_bytes()


def test_adapters_learn_alone_and_fold_into_the_weights(base: Path, data: Path, tmp_path: Path) -> None:
    recipe = replace(ADAPTERS, rate=2e-2, bridge_rate=2e-2, adapter_rank=4, batch=2, accumulate=2, epochs=4)
    run = tuning(base, data, tmp_path / "run", recipe)
    assert all(p.shape[0] == 4 or p.shape[1] == 4 for p in run.masters.learning)
    run.go(lambda now: None)
    assert run.losses[-1] < run.losses[0]
    before, after = load_file(base / "model.safetensors"), load_file(tmp_path / "run" / "model.safetensors")
    changed = {name for name in after if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.endswith(("proj.weight", "mlp.0.weight", "mlp.2.weight")) for name in changed), changed
    adapter = load_file(tmp_path / "run" / ADAPTER_NAME)
    assert sum(t.numel() for t in adapter.values()) == sum(p.numel() for p in run.masters.learning)
    a, b = (adapter[f"model.layers.0.mlp.up_proj.lora_{letter}.weight"] for letter in "AB")
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.allclose(after[name], before[name] + recipe.adapter_alpha / 4 * (b @ a), atol=1e-6)


def test_steps_too_small_for_bfloat16_are_not_lost(base: Path, data: Path, tmp_path: Path) -> None:
    recipe = replace(FAST, rate=1e-5, bridge_rate=1e-5, epochs=2, weight_decay=0.0)
    run = tuning(base, data, tmp_path / "run", recipe, dtype="bfloat16")
    start = {name: p.detach().clone() for name, p in run.model.named_parameters() if p.requires_grad}
    masters = [m.detach().clone() for m in run.masters.state()["masters"]]
    run.go(lambda now: None)
    moved = [bool((new != old).any()) for new, old in zip(run.masters.state()["masters"], masters, strict=True)]
    assert all(moved)
    same = [torch.equal(start[n], p) for n, p in run.model.named_parameters() if n in start]
    assert any(same)  # in bfloat16 alone these would never move


def test_only_the_answer_is_learned_and_the_pixels_are_those_of_inference(base: Path, data: Path) -> None:
    loaded = load_checkpoint(str(base))
    lessons = BakeLessons(1, 1000, load_task("pizza"), loaded.tokenizer)
    batch = make_batch([lessons.read(0)], loaded.processor, loaded.tokenizer, 8192)
    learned = batch.inputs.input_ids[batch.labels != IGNORED_LABEL]
    text = loaded.tokenizer.decode(learned.tolist(), skip_special_tokens=False)
    assert text.startswith('{"doneness":"')
    assert text.rstrip("\n").endswith("}<|im_end|>")
    (clip,) = batch.inputs.video_tchw or ()
    assert torch.equal(clip, loaded.processor.video(lessons.read(0).footage.frames).tchw)  # type: ignore[union-attr]
    with pytest.raises(BadInputError, match="tokens: at most 10"):
        make_batch([lessons.read(0)], loaded.processor, loaded.tokenizer, 10)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "a"}, "conversations or question and answer"),
        ({"question": "a", "answer": "b", "video": "none.mp4"}, "none.mp4 does not exist"),
        ({"question": "a", "answer": "b", "video": "x", "images": ["y"]}, "either a video or images"),
        ({"conversations": [{"from": "human", "value": "a"}]}, "nobody answers"),
        ({"conversations": [{"from": "human"}]}, "turns with from and value"),
        ({"question": "a", "answer": "b", "images": [1]}, "list of paths"),
    ],
)
def test_records_that_cannot_be_learned_from(tmp_path: Path, row: dict[str, object], says: str) -> None:
    file = tmp_path / "lessons.json"
    file.write_text(json.dumps([row]))
    with pytest.raises(BadInputError, match=says):
        FileLessons(file, tmp_path, 4)


def test_the_benchmarks_records_are_asked_as_their_evaluations_ask(tmp_path: Path) -> None:
    scene = tmp_path / "scannet" / "scene0"
    scene.mkdir(parents=True)
    for place in range(2):
        Image.fromarray(np.full((48, 64, 3), 99, np.uint8)).save(scene / f"{place}.png")
    item = {"dataset": "scannet", "scene_name": "scene0", "question_type": "object_counting"}
    (tmp_path / "vsi.json").write_text(json.dumps([{**item, "question": "How many?", "ground_truth": 4}]))
    lesson = FileLessons(tmp_path / "vsi.json", tmp_path, 2).read(0)
    assert lesson.turns[0]["value"] == "<video>\nHow many?\nPlease answer the question using a single word or phrase."
    assert lesson.turns[1]["value"] == "4"
    assert lesson.footage is not None
    assert len(lesson.footage.frames) == 2


def test_the_command(base: Path, data: Path, tmp_path: Path) -> None:
    common = {"resume": False, "clips": 64, "seed": 3, "threads": 1, "steps": 1}
    with pytest.raises(BadInputError, match="--data"):
        run_tuning(str(base), TuningOptions(), tmp_path / "run", **common)  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="--lora"):
        run_tuning(str(base), TuningOptions(data="bakes", rank=4), tmp_path / "run", **common)  # type: ignore[arg-type]
    options = TuningOptions(data="bakes", batch=1, accumulate=1)
    run_tuning(str(base), options, tmp_path / "run", **common)  # type: ignore[arg-type]
    assert (tmp_path / "run" / "model.safetensors").exists()
    assert (tmp_path / "run" / STATE_NAME).exists()
