"""A training run that is killed goes on as if it had not been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from training_clips import PLAN, TASK, fill

from cloud.training.learner import read_state
from cloud.training.plan import TrainingPlan
from cloud.training.run import STATE_NAME, Limits, Run
from cloud.training.store import SHARD_CLIPS
from shared.errors import BadInputError

torch.set_num_threads(1)  # as in the child: other threads add in another order, and a few steps make it visible

STEPS = 12

# Trains on made-up shards without a renderer; prints each step, and slows down so that the kill finds it at work.
CHILD = """
import sys, time
from pathlib import Path
sys.path[:0] = [{here!r}, {here!r} + "/../scenes"]
import test_training_resume as t
run = t.make_run(Path(sys.argv[1]), Path(sys.argv[2]), resume=False)
def watch(now):
    print(now.step, flush=True)
    time.sleep(0.02)
run.go(watch)
"""


def make_run(out: Path, cache: Path, *, resume: bool) -> Run:
    limits = Limits(steps=STEPS)
    return Run(out, cache, PLAN, limits, TASK, resume=resume, validation=1, save_every_s=0.0, export_every_s=1e9)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    fill(folder)
    return folder


@pytest.fixture(scope="module")
def straight(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("straight"), cache, resume=False)
    run.go(lambda now: None)
    return run


def test_a_killed_run_resumes_to_the_same_weights(straight: Run, cache: Path, tmp_path: Path) -> None:
    script = CHILD.format(here=str(Path(__file__).parent))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", script, str(tmp_path), str(cache)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= STEPS // 2 + 1:  # in the second phase
                child.send_signal(signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    killed_at = int(read_state(tmp_path / STATE_NAME)["step"])
    assert 0 < killed_at < STEPS

    resumed = make_run(tmp_path, cache, resume=True)
    assert resumed.step == killed_at
    resumed.go(lambda now: None)
    assert resumed.step == straight.step == STEPS
    for name, value in straight.learner.average.items():
        assert np.allclose(resumed.learner.average[name].numpy(), value.numpy(), atol=1e-5), name
    assert [point["step"] for point in resumed.curve] == [point["step"] for point in straight.curve]
    assert [point["loss"] for point in resumed.curve] == pytest.approx(
        [point["loss"] for point in straight.curve], rel=1e-4
    )


def test_the_loss_falls_and_the_folder_is_a_checkpoint(straight: Run) -> None:
    assert straight.curve[-1]["loss"] < 0.8 * straight.curve[0]["loss"]
    names = {path.name for path in straight.folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "generation_config.json", "card.json"} <= names
    assert not any(name.startswith(".export") for name in names)
    card = json.loads((straight.folder / "card.json").read_text())
    assert card["steps"] == STEPS
    assert card["validation_doneness"]["n"] == SHARD_CLIPS


def test_an_unfinished_run_is_not_overwritten_nor_mixed_with_another(straight: Run, cache: Path) -> None:
    with pytest.raises(BadInputError, match="--resume"):
        make_run(straight.folder, cache, resume=False)
    other = TrainingPlan(clips=PLAN.clips, pixels=PLAN.pixels, seed=8)
    with pytest.raises(BadInputError, match="another plan"):
        Run(straight.folder, cache, other, Limits(steps=1), TASK, resume=True)


def test_a_damaged_state_is_named(tmp_path: Path, cache: Path) -> None:
    (tmp_path / STATE_NAME).write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(BadInputError, match=STATE_NAME):
        make_run(tmp_path, cache, resume=True)


def test_limits_count_what_comes_first() -> None:
    assert Limits(minutes=1.0).progress(0, 30.0) == 0.5
    assert Limits(minutes=1.0, steps=10).progress(9, 30.0) == 0.9
    assert Limits(steps=10).progress(20, 0.0) == 1.0


def test_a_killed_parent_takes_its_renderers_along(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom multiprocessing import get_context\n"
        "from concurrent.futures import ProcessPoolExecutor\nfrom shared.children import follow_parent\n"
        "import os\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPoolExecutor(1, get_context('spawn'), initializer=follow_parent)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    time.sleep(60)\n"
    )
    path = tmp_path / "parent.py"
    path.write_text(script)
    with subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        renderer = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 20
    while _alive(renderer) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(renderer)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return state.rsplit(")", 1)[1].split()[0] != "Z"
