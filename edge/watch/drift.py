"""Has the input moved? A Shiryaev-Roberts detector on the ranks of each figure among the calibration frames.

The rank of a new value among n calibration values is uniform while nothing has moved. A bet b(u) with mean 1 under the
uniform multiplies R <- (1 + R) b(u); R - (frames seen) is then a martingale, so the mean number of frames to a false
alarm is at least the limit (Shiryaev 1963, Roberts 1966; conformal: Vovk et al. 2021, arXiv:2102.10439).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FRAMES_PER_FALSE_ALARM = 1_000_000
POWERS = (0.35, 0.65)  # of the bets: b(u) = mean of k u^(k-1) and k (1-u)^(k-1), for low and for high values
SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
RECENT = 50  # frames that say where a figure has moved to
WATCHED = ("brightness", "sharpness", "red-green", "green-blue", "logit energy", "confidence")


def watched_figures(
    features: NDArray[np.float64], logits: NDArray[np.int8], logit_scale: float, confidence: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What is watched, float64 [N, len(WATCHED)], from frame features [N, F], logits [N, labels], confidence [N].

    The logit energy is the log of the sum of exponentials (Liu et al. 2020, arXiv:2010.03759).
    """
    real = logits.astype(np.float64) * logit_scale  # [N, labels]
    top = real.max(axis=1)  # [N]
    energy = top + np.log(np.exp(real - top[:, None]).sum(axis=1))  # [N]
    return np.stack([features[:, 1], features[:, 9], features[:, 4], features[:, 7], energy, confidence], axis=1)


@dataclass(frozen=True, slots=True)
class Drift:
    """One figure has moved."""

    figure: str
    usual: float  # median of the calibration frames
    now: float  # median of the last frames
    frames: int  # since the watch began

    def __str__(self) -> str:
        direction = "rose" if self.now > self.usual else "fell"
        return f"{self.figure} {direction} from {self.usual:.3g} to {self.now:.3g} (frame {self.frames})"


class DriftWatch:
    """Watches the figures of one camera. An alarm is given once a figure; `restart` begins anew."""

    def __init__(
        self, calibration: NDArray[np.float64], names: tuple[str, ...] = WATCHED, limit: float | None = None
    ) -> None:
        """`calibration` float64 [n, figures]; `limit`: mean frames to a false alarm of any figure, at least."""
        self._sorted = np.sort(calibration, axis=0).T.copy()  # [figures, n]
        self._names = names
        self._limit = (limit or FRAMES_PER_FALSE_ALARM) * len(names)
        self.restart()

    def restart(self) -> None:
        """Forget what was seen."""
        self._statistics = np.zeros(len(self._names))  # [figures]
        self._alarmed = np.zeros(len(self._names), bool)  # [figures]
        self._recent: list[NDArray[np.float64]] = []
        self._frames = 0

    def observe(self, figures: NDArray[np.float64]) -> list[Drift]:
        """The figures of one frame, float64 [figures]; what has moved and was not reported before."""
        self._frames += 1
        self._recent = [*self._recent[1 - RECENT :], figures]
        u = self._ranks(figures)
        self._statistics = np.minimum((1 + self._statistics) * _bet(u), 2 * self._limit)  # it never need be larger
        moved = (self._statistics > self._limit) & ~self._alarmed
        self._alarmed |= moved
        if not moved.any():
            return []
        now = np.median(self._recent, axis=0)  # [figures]
        usual = np.median(self._sorted, axis=1)  # [figures]
        return [Drift(self._names[i], float(usual[i]), float(now[i]), self._frames) for i in np.flatnonzero(moved)]

    def _ranks(self, figures: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mid-ranks within (0, 1): equal values share theirs."""
        pairs = list(zip(self._sorted, figures, strict=True))
        low, high = (np.array([row.searchsorted(value, side) for row, value in pairs]) for side in SIDES)
        ranks: NDArray[np.float64] = 0.5 * (low + high + 1) / (self._sorted.shape[1] + 1)
        return ranks


def _bet(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean bet on low and on high ranks, float64 like `u`."""
    bets = [k * np.power(side, k - 1) for k in POWERS for side in (u, 1 - u)]
    result: NDArray[np.float64] = np.mean(bets, axis=0)
    return result
