"""The doctor: its memory model against measured peaks, its counting of live bytes, what it says of machines."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from cloud.doctor.cli import app
from cloud.doctor.commands import host_lines
from cloud.doctor.host import Gpu, look
from cloud.doctor.live_bytes import LiveBytes
from cloud.doctor.memory import Load, account, weight_bytes
from cloud.doctor.validation import validate
from cloud.spatial_mllm import SpatialConfig
from shared.errors import BadInputError

torch.set_num_threads(1)


def doctor(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_live_bytes_are_those_alive_at_once() -> None:
    before = torch.ones(1000)
    with LiveBytes() as live:
        first = before + 1  # 4,000 bytes
        second = first * 2  # 8,000
        view = second.view(10, 100)  # shares
        del first, second  # the view keeps one
        third = view.sum(dim=0)  # 4,400
        before.add_(1)  # what was there before does not count
        del view
    assert live.peak == 8000
    assert live.now == third.nbytes == 400


def test_the_memory_model_is_within_ten_percent_of_measured_peaks() -> None:
    compared = validate()
    assert [one.name for one in compared] == ["small", "medium", "large"]
    for one in compared:
        assert abs(one.error) < 0.1, (one.name, one.predicted, one.measured)


def test_eight_gigabytes_hold_the_quantised_full_model_with_eight_frames() -> None:
    full = json.loads(doctor("--memory-gb", 8, "--device", "cuda", "--frames", 8, "--json"))
    engines = {engine["engine"]: engine for engine in full["engines"]}
    assert engines["full"]["most_frames"] == 0
    assert engines["int8"]["most_frames"] >= 8
    assert engines["int4"]["most_frames"] >= engines["int8"]["most_frames"]
    assert engines["int8"]["total"] < 0.95 * 8e9
    assert engines["int4"]["total"] < engines["int8"]["total"] < engines["full"]["total"]
    assert "--engine int8" in full["advice"]
    for engine in engines.values():
        assert engine["total"] == sum(engine["resident"].values()) + max(engine["stages"].values())


def test_weights_are_those_of_the_published_layout() -> None:
    """Part by part in bfloat16: the parameter counts of the full size, without the heads."""
    sizes = weight_bytes(SpatialConfig(), Load())
    assert sizes["spatial encoder"] == 2 * 909_119_488 or sizes["spatial encoder"] == pytest.approx(2 * 909e6, rel=1e-3)
    assert sizes["language model"] + sizes["vocabulary"] == pytest.approx(2 * 3.086e9, rel=1e-3)
    assert sizes["vision tower"] == pytest.approx(2 * 669e6, rel=1e-3)
    assert sizes["connector"] == pytest.approx(2 * 302e6, rel=1e-3)
    with_head = weight_bytes(SpatialConfig(), replace(Load(), sampling=True))
    assert with_head["point head"] > 0


def test_more_frames_take_more() -> None:
    few, many = (account(SpatialConfig(), Load(frames=frames)) for frames in (2, 8))
    assert many.total > few.total
    assert many.stages["spatial encoder"] > 3 * few.stages["spatial encoder"]


def test_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    text = doctor("--model", "pizza-small", "--device", "cpu", "--dtype", "float32")
    assert "run --engine full" in text
    assert "together, at the worst moment" in text
    tiny = doctor("--model", "pizza-small", "--device", "cpu", "--memory-gb", 0.001)
    assert "no engine fits" in tiny
    host = look()
    assert host.memory > host.memory_free > 0
    assert host.versions["torch"] is not None
    gpus = (Gpu("GTX 1080", 8 << 30, 7 << 30),)
    lines = "\n".join(host_lines(replace(host, gpus=gpus, driver="550.54", attention=("sdpa",))))
    assert "GTX 1080, 8.6 GB, 7.5 GB free" in lines
    assert "driver 550.54" in lines


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--device", "tpu"], "choose auto, cpu or cuda"), (["--dtype", "int3"], "choose one of float32")],
)
def test_wrong_arguments_are_named(arguments: list[Any], text: str) -> None:
    with pytest.raises(BadInputError, match=text):
        doctor(*arguments)
