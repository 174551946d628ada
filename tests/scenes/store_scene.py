"""Bakes for stores in tests."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import numpy as np

from edge.loop.rows import BakeRow
from shared.images import encode_jpeg
from shared.messages import BakeVerdict, Provenance
from shared.task import load_task

TASK = load_task("pizza")
SIZE = TASK.input.size_px
PICTURE = encode_jpeg(np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8))


def bake_id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


def bake_row(number: int, **changes: Any) -> BakeRow:
    row = BakeRow(
        id=bake_id(number),
        task="pizza",
        site="plant",
        gateway="oven-1",
        camera="belt",
        bake=f"bake-{number}",
        captured_us=1_000_000_000_000_000 + number,
        decision="unsure",
        share=1.0,
        sure_share=0.02,
        model_sha256="ab" * 32,
        label="golden",
        probability=0.5,
        sure=False,
        logits=[0, 1, 2, 3, -4],
        clip_sha256="",
        frames=2,
        key=1,
        frame_bytes=2 * len(PICTURE),
        seen=np.full((SIZE, SIZE, 3), number % 256, np.uint8).tobytes(),
    )
    return msgspec.structs.replace(row, **changes)


def cloud(label: str | None, confidence: float = 0.9) -> BakeVerdict:
    source = Provenance("small", "cd" * 32, "", (0,), True, "sdpa", "cpu", 0.1, worker="w-1")
    return BakeVerdict(label, confidence, label is None, "because", provenance=source)
