"""The engine: from frames to a verdict, with the shipped checkpoint and with made-up answers."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cloud.answer import Answer
from cloud.engine import SHIPPED, Engine, checkpoint_folder, load_engine
from cloud.spatial_mllm import Generated
from cloud.spatial_mllm.tokenizer import text_ids
from shared.bakery import KEY_FRAME, render_bake
from shared.errors import BadInputError, MissingPartError
from shared.images import decode_jpeg, encode_jpeg
from shared.task import load_task

TASK = load_task("pizza")
BAKES = 24
SEED = 3050  # no training, validation or calibration data
LEAST_HITS = 17  # of 24: guessing reaches it once in 10^8 times

Frames = list[NDArray[np.uint8]]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine(SHIPPED)


@pytest.fixture(scope="module")
def clip() -> Frames:
    return [decode_jpeg(encode_jpeg(frame)) for frame in render_bake(SEED, 0).frames]


def seconds(count: int) -> list[float]:
    return [0.25 * k for k in range(count)]


def test_the_shipped_checkpoint_grades_unseen_bakes(engine: Engine) -> None:
    hits = 0
    for index in range(BAKES):
        bake = render_bake(SEED, index)
        frames = [decode_jpeg(encode_jpeg(frame)) for frame in bake.frames]
        verdict = engine.verdict(frames, bake.truth.times_s, TASK)
        assert not verdict.cannot_tell, verdict.rationale
        assert verdict.burnt_fraction is not None
        assert abs(verdict.burnt_fraction - bake.truth.burnt_fraction) < 0.5
        hits += verdict.doneness == bake.truth.doneness
    assert hits >= LEAST_HITS


def test_a_verdict_is_deterministic_and_says_how_it_came_about(engine: Engine, clip: Frames) -> None:
    first, second = (engine.verdict(clip, seconds(8), TASK) for _ in range(2))
    assert first.provenance is not None
    assert second.provenance is not None
    assert (first.doneness, first.confidence, first.rationale) == (second.doneness, second.confidence, second.rationale)
    assert first.provenance.frames_used == tuple(range(8))
    assert first.provenance.model == SHIPPED
    assert len(first.provenance.weights_sha256) == len(first.provenance.prompt_sha256) == 64
    assert first.provenance.geometry
    assert first.provenance.attention == "sdpa"
    assert 0.2 <= first.confidence <= 1.0


def test_one_photograph_is_enough(engine: Engine, clip: Frames) -> None:
    verdict = engine.verdict(clip[KEY_FRAME : KEY_FRAME + 1], [0.0], TASK)
    assert verdict.provenance is not None
    assert verdict.provenance.frames_used == (0,)
    assert verdict.doneness in TASK.labels


@pytest.mark.parametrize("shape", [(1, 1), (7, 100), (100, 7), (48, 48), (640, 361), (30, 400)])
def test_frames_of_any_size_get_an_answer(engine: Engine, shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    frames = [random.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(3)]
    verdict = engine.verdict(frames, seconds(3), TASK)
    assert verdict.cannot_tell or verdict.doneness in TASK.labels


def test_long_clips_of_mixed_sizes_are_thinned_evenly(engine: Engine, clip: Frames) -> None:
    frames = [clip[k % 8][: 240 - k, : 320 - k] for k in range(20)]
    verdict = engine.verdict(frames, seconds(20), TASK)
    assert verdict.provenance is not None
    assert verdict.provenance.frames_used == (0, 2, 5, 8, 10, 13, 16, 19)


def test_frames_are_taken_in_time_order(engine: Engine, clip: Frames) -> None:
    forward = engine.verdict(clip, seconds(8), TASK)
    backward = engine.verdict(clip[::-1], seconds(8)[::-1], TASK)
    assert (backward.rationale, backward.confidence) == (forward.rationale, forward.confidence)
    assert backward.provenance is not None
    assert backward.provenance.frames_used == (7, 6, 5, 4, 3, 2, 1, 0)


@pytest.mark.parametrize(
    ("frames", "times"),
    [
        ([], []),
        ([np.zeros((8, 8, 3), np.uint8)], []),
        ([np.zeros((8, 8, 3), np.uint8)], [math.nan]),
        ([np.zeros((8, 8, 3), np.uint8)], [math.inf]),
        ([np.zeros((8, 8), np.uint8)], [0.0]),
        ([np.zeros((8, 8, 4), np.uint8)], [0.0]),
        ([np.zeros((0, 8, 3), np.uint8)], [0.0]),
        ([np.zeros((8, 8, 3), np.float32)], [0.0]),
        ([np.zeros((2, 400, 3), np.uint8)], [0.0]),
    ],
)
def test_hostile_clips_are_named(engine: Engine, frames: Frames, times: list[float]) -> None:
    with pytest.raises(BadInputError):
        engine.verdict(frames, times, TASK)


def says(engine: Engine, monkeypatch: pytest.MonkeyPatch, text: str, chance: float) -> None:
    """Let the model write `text`, each token with probability `chance`."""
    ids = text_ids(engine.chat.tokenizer, text)
    ids = [*ids, engine.model.config.tokens.eos]
    logs = torch.full((1, len(ids)), math.log(chance))
    made = Generated(torch.tensor([ids]), logs, None)
    monkeypatch.setattr(engine.model, "generate", lambda inputs, max_new_tokens, constraint=None: made)


def test_confidence_is_the_probability_of_the_doneness_token(
    engine: Engine, clip: Frames, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(engine, monkeypatch, Answer("dark", 12, "rim", 12, 70, 20, 4).text(), 0.625)
    verdict = engine.verdict(clip, seconds(8), TASK)
    assert verdict.doneness == "dark"
    assert verdict.confidence == pytest.approx(0.625)  # one token of sixteen


@pytest.mark.parametrize("text", ["", '{"doneness":"golden', "golden", '{"doneness":"rim","burnt_percent":12}'])
def test_a_broken_answer_is_never_a_verdict(
    engine: Engine, clip: Frames, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    says(engine, monkeypatch, text, 0.99)
    verdict = engine.verdict(clip, seconds(8), TASK)
    assert verdict.cannot_tell
    assert verdict.doneness is None
    assert verdict.confidence == 0
    assert "answer" in verdict.rationale


@pytest.mark.parametrize("name", ["no-such-checkpoint", "../secrets", "/nowhere/at/all", ""])
def test_a_missing_checkpoint_says_what_there_is(name: str) -> None:
    with pytest.raises((MissingPartError, BadInputError), match=r"checkpoint|config\.json"):
        load_engine(name or "none")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(checkpoint_folder(SHIPPED), folder)
    (folder / name).unlink()
    with pytest.raises(MissingPartError, match=name.replace(".", r"\.")):
        load_engine(folder)


@pytest.mark.parametrize("module", ["torch", "transformers", "tokenizers"])
def test_a_missing_package_says_what_to_install(module: str) -> None:
    script = (
        f"import sys\nsys.modules[{module!r}] = None\n"
        "from shared.errors import MissingPartError\n"
        "try:\n    import cloud.engine\nexcept MissingPartError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == f"{module} is missing: pip install 'crustwatch[cloud]'\n"


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(BadInputError, match="dtype"):
        load_engine(SHIPPED, dtype="int4")
    with pytest.raises(BadInputError, match="device"):
        load_engine(SHIPPED, device="toaster")
    with pytest.raises(BadInputError, match="threads"):
        load_engine(SHIPPED, threads=0)
    if not torch.cuda.is_available():
        with pytest.raises(MissingPartError, match="CUDA"):
            load_engine(SHIPPED, device="cuda")


def test_the_checkpoint_is_small(engine: Engine) -> None:
    files = list(checkpoint_folder(SHIPPED).iterdir())
    assert sum(path.stat().st_size for path in files) < 20e6
    assert {path.name for path in files} >= {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "generation_config.json",
        "preprocessor_config.json",
        "card.json",
    }
