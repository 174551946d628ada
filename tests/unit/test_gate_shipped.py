"""The shipped model's reference: photographs of other things are unfamiliar, rendered pizzas are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage

from edge.devices.model import DEFAULT_MODEL
from edge.learning.frames import FrameStore
from edge.watch.features import frame_features
from edge.watch.reference import REFERENCE, load_reference
from shared.errors import BadInputError
from shared.images import read_image_file
from shared.intervals import wilson
from shared.resize import square_resize
from shared.task import load_task


def test_photographs_of_other_things_are_escalated() -> None:
    familiarity = load_reference(DEFAULT_MODEL / REFERENCE).familiarity
    frames = []
    for path in sorted((Path(skimage.__file__).parent / "data").iterdir()):
        try:
            frames.append(square_resize(read_image_file(path, 640), 48))
        except BadInputError:
            continue  # data that is no photograph
    beyond = familiarity.distances(frame_features(np.stack(frames))) > familiarity.limit  # [N]
    assert len(frames) >= 26
    assert beyond.mean() >= 0.95


def test_rendered_pizzas_are_familiar(tmp_path_factory: pytest.TempPathFactory) -> None:
    familiarity = load_reference(DEFAULT_MODEL / REFERENCE).familiarity
    frames = FrameStore(tmp_path_factory.mktemp("frames"), load_task("pizza")).load(3000, 16).key_frames
    beyond = int((familiarity.distances(frame_features(frames)) > familiarity.limit).sum())
    assert wilson(beyond, len(frames)).low < 0.03
