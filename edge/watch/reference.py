"""`reference.npz` beside a model: what its calibration frames looked like, and what its logits said of them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.gate.gate_file import GateFile
from edge.gate.integer import Q15
from edge.watch.drift import WATCHED, watched_figures
from edge.watch.familiar import Familiarity, fit_familiarity
from edge.watch.features import FEATURES, frame_features
from shared.errors import BadInputError

REFERENCE = "reference.npz"
MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Reference:
    """What familiar frames are, and the figures whose drift is watched."""

    familiarity: Familiarity
    figures: NDArray[np.float64]  # [n, len(WATCHED)] of the calibration frames


def fit_reference(frames: NDArray[np.uint8], logits: NDArray[np.int8], gate: GateFile) -> Reference:
    """From calibration frames uint8 [N, S, S, 3] and the model's int8 logits [N, labels] for them."""
    confidence = gate.table().probabilities_q15(logits) / Q15  # [N]
    figures = watched_figures(frame_features(frames), logits, gate.logit_scale, confidence)
    return Reference(fit_familiarity(frames), figures)


def save_reference(reference: Reference, path: Path) -> None:
    """Write the file; half precision is finer than any of its uses."""
    familiarity = reference.familiarity
    np.savez_compressed(
        path,
        mean=familiarity.mean,
        whitening=familiarity.whitening,
        reference=familiarity.reference.astype(np.float16),
        limit=np.float64(familiarity.limit),
        figures=reference.figures.astype(np.float32),
    )


def load_reference(path: Path) -> Reference:
    """Read `reference.npz`. Raises BadInputError when it is none or made for other features."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInputError(f"{path}: over {MAX_BYTES >> 20} MB")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            names = ("mean", "whitening", "reference", "limit", "figures")
            mean, whitening, reference, limit, figures = (np.asarray(stored[name], np.float64) for name in names)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise BadInputError(f"{path}: not a reference of familiar frames: {error}") from None
    count = len(FEATURES)
    shapes = (mean.shape, whitening.shape, reference.shape[1:], limit.shape, figures.shape[1:])
    whole = all(bool(np.isfinite(part).all()) for part in (mean, whitening, reference, limit, figures))
    if shapes != ((count,), (count, count), (count,), (), (len(WATCHED),)) or not whole or not len(reference):
        raise BadInputError(f"{path}: made for other features than this version's {count}")
    return Reference(Familiarity(mean, whitening, reference.astype(np.float32), float(limit)), figures)
