"""The board's own camera: what the chip captures and classifies is what Python makes of the same scene."""

from __future__ import annotations

import numpy as np
import pytest

from edge.devices import open_device
from edge.devices.camera import as_captured
from firmware_sim.board.client import BoardClient
from firmware_sim.board.emulated import EmulatedLine
from shared.bakery import render_bake
from shared.errors import BadInputError


def test_the_camera_path_and_the_serial_path_agree_byte_for_byte() -> None:
    rng = np.random.default_rng(1)
    scenes = [render_bake(3000, 1).frames[4], rng.integers(0, 256, (240, 320, 3), np.uint8)]
    with open_device("emulated-camera") as camera, open_device("emulated") as serial:
        assert camera.takes_scene
        assert not serial.takes_scene
        for scene in scenes:
            captured = camera.classify(scene)
            sent = serial.classify(as_captured(scene, 48))
            assert captured.logits == sent.logits
            assert (captured.label, captured.sure) == (sent.label, sent.sure)
        assert camera.statistics().frames == 2


def test_a_board_without_a_camera_says_so_and_goes_on() -> None:
    client = BoardClient(EmulatedLine())
    with pytest.raises(BadInputError, match="refused Capture"):
        client.capture()
    assert client.classify(bytes(48 * 48 * 3)).logits


def test_a_camera_that_dies_is_reported_and_comes_back() -> None:
    line = EmulatedLine()
    client = BoardClient(line)
    scene = np.full((240, 320, 3), 90, np.uint8)
    line.board.camera.show(scene)
    first = client.capture()
    line.board.faults.camera = "dead"
    with pytest.raises(BadInputError, match="refused Capture"):
        client.capture()
    line.board.faults.camera = ""
    assert client.capture().logits == first.logits
