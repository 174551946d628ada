"""`edge run --registry`: which model decides, under which certificate, and which is in shadow."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge.budget import Limits
from edge.devices.model import DEFAULT_MODEL
from edge.gateway.program import Options, with_registry
from edge.loop.registry import Registry
from shared.errors import BadInputError

OPTIONS = Options(
    source="rendered",
    device="reference",
    model=None,
    broker="mqtt://127.0.0.1:1883",
    site=None,
    gateway=None,
    camera="belt",
    task="pizza",
    outbox=Path("outbox.db"),
    outbox_bytes=1_000_000,
    session=None,
    certificate=None,
    signer=None,
    audit=None,
    limits=Limits(),
    deadline_s=None,
    bakes=1,
    backlog=1,
)


def test_champion_and_challenger_come_from_the_registry(tmp_path: Path) -> None:
    registry = Registry.create(tmp_path / "registry", "pizza", DEFAULT_MODEL)
    other = tmp_path / "other"
    shutil.copytree(DEFAULT_MODEL, other)
    (other / "model.tflite").write_bytes((DEFAULT_MODEL / "model.tflite").read_bytes() + b"\0")
    wanted = replace(OPTIONS, registry=registry.folder)
    alone = with_registry(wanted)
    assert (alone.model, alone.shadow, alone.certificate, alone.signer) == (registry.champion, None, None, None)
    registry.add_challenger(other, {})
    tried = with_registry(wanted)
    assert (tried.model, tried.shadow) == (registry.champion, registry.challenger)
    registry.promote("for a test")
    after = with_registry(wanted)
    assert (after.model, after.shadow) == (registry.champion, None)
    assert after.model != alone.model


def test_a_model_named_beside_the_registry_is_refused(tmp_path: Path) -> None:
    assert with_registry(OPTIONS) is OPTIONS
    for name in ("model", "certificate", "shadow"):
        with pytest.raises(BadInputError, match=f"--registry says what --{name} would"):
            with_registry(replace(OPTIONS, registry=tmp_path, **{name: tmp_path}))
    with pytest.raises(BadInputError, match="no registry"):
        with_registry(replace(OPTIONS, registry=tmp_path))
