"""The shipped model of solar cells: what its card says, and that the device decides as the certificate does."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from edge.certification.path import threshold_path
from edge.certification.procedure import passes
from edge.datasets.elpv import elpv_entries
from edge.datasets.labelled import read_entries
from edge.gate.integer import GateTable
from edge.learning.commands import shipped_model
from edge.learning.evaluation import integer_logits
from edge.learning.model_folder import read_model
from edge.learning.settings import settings_for
from firmware_sim.compiler.arena import plan
from firmware_sim.compiler.channels import simplified
from firmware_sim.compiler.placement import RAM_BYTES, fitting, least_ram
from shared.task import load_task

TASK = load_task("elpv")
FOLDER = shipped_model("elpv")
CARD = json.loads((FOLDER / "card.json").read_text())


def test_the_card_is_the_model_s_and_it_fits_the_chip() -> None:
    assert CARD["sha256"] == hashlib.sha256((FOLDER / "model.tflite").read_bytes()).hexdigest()
    graph = read_model(FOLDER).graph
    for cores in (1, 2):
        strips = fitting(simplified(graph), cores=cores)
        assert least_ram(strips, plan(strips), cores) <= RAM_BYTES
    assert CARD["model_bytes"] <= 1 << 20  # of 2 MB of flash
    assert CARD["evaluation"]["data"] == "elpv"
    assert CARD["evaluation"]["key_frame_accuracy"]["share"] >= 0.80
    assert CARD["evaluation"]["key_frame_accuracy"]["low"] > 0.75  # always "functional" would be right on 0.684
    assert CARD["evaluation"]["risk_at_70"] <= 0.11


def test_it_is_what_the_command_trains_by_default() -> None:
    assert settings_for("elpv").as_json() == CARD["settings"]


def test_what_non_commercial_photographs_taught_says_so() -> None:
    notice = (FOLDER / "NOTICE.md").read_text()
    assert "CC BY-NC-SA 4.0" in notice
    assert not (FOLDER / "report.html").exists(), "it shows photographs that are not ours to ship"


def test_the_device_decides_every_photograph_as_the_certificate_does() -> None:
    pytest.importorskip("elpv_dataset", reason="the photographs are not installed")
    cells = read_entries(elpv_entries(TASK)[::44], TASK, "elpv")
    model = read_model(FOLDER)
    logits, table = integer_logits(model.graph, cells.frames), model.gate.table()
    path = threshold_path(table, logits, cells.labels, {TASK.index("defective"): 0.05})
    sure = passes(table, path, logits)  # [K, N]
    for row, tau in zip(sure[:: max(1, len(path) // 8)], path[:: max(1, len(path) // 8)], strict=True):
        device = GateTable(table.lut, tuple(min(int(t), 65535) for t in tau))
        assert [device.decide(one).sure for one in logits] == row.tolist()
    assert np.unique(logits.argmax(axis=1)).size == 2
