"""Is this the kind of frame that the classifier was calibrated on? Others are escalated, however sure it is.

Distance to the nearest of some hundred calibration frames, in features made uncorrelated and of equal spread; the
limit is the quantile of held-out calibration frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.watch.features import frame_features
from shared.errors import BadInputError

KEPT = 800  # frames of the reference
FALSE_ALARMS = 0.01  # share of calibration frames that count as unfamiliar
SMALLEST_SAMPLE = 200
RIDGE = 0.02  # of each feature's variance, added so that no direction counts as exact


@dataclass(frozen=True, slots=True)
class Familiarity:
    """Reference frames in whitened features."""

    mean: NDArray[np.float64]  # [features]
    whitening: NDArray[np.float64]  # [features, features]
    reference: NDArray[np.float32]  # [KEPT, features], whitened
    limit: float  # distance beyond which a frame is unfamiliar

    def distances(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of each row of features [N, features] to the nearest reference frame, float64 [N]."""
        white = (features - self.mean) @ self.whitening  # [N, features]
        nearest = [float(np.square(self.reference - row).sum(axis=1).min()) for row in white]
        result: NDArray[np.float64] = np.sqrt(np.array(nearest, np.float64))
        return result

    def is_familiar(self, frame: NDArray[np.uint8]) -> bool:
        """Whether `frame` uint8 [S, S, 3], as the classifier sees it, is of the kind that it was calibrated on."""
        return bool(self.distances(frame_features(frame[None]))[0] <= self.limit)


def fit_familiarity(frames: NDArray[np.uint8], false_alarms: float = FALSE_ALARMS) -> Familiarity:
    """From calibration frames uint8 [N, S, S, 3]: the first half whitens and is kept, the rest sets the limit.

    Raises BadInputError for fewer than SMALLEST_SAMPLE frames.
    """
    if len(frames) < SMALLEST_SAMPLE:
        raise BadInputError(f"{len(frames)} frames say too little of what is familiar: at least {SMALLEST_SAMPLE}")
    features = frame_features(frames)  # [N, features]
    kept, rest = features[: len(features) // 2], features[len(features) // 2 :]
    spread = np.cov(kept.T)  # [features, features]
    spread += np.diag(np.diag(spread) * RIDGE + 1e-12)
    whitening = np.linalg.cholesky(np.linalg.inv(spread))  # [features, features]
    mean = kept.mean(axis=0)
    reference = ((kept - mean) @ whitening)[:KEPT].astype(np.float32)
    unlimited = Familiarity(mean, whitening, reference, np.inf)
    limit = float(np.quantile(unlimited.distances(rest), 1 - false_alarms))
    return Familiarity(mean, whitening, reference, limit)
