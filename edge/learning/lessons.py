"""What a teacher has to say of the training part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Lessons:
    """What the edge network is taught of each item of the training part, besides its frame."""

    opinions: NDArray[np.float32]  # [N, labels]: the teacher's probabilities
    features: NDArray[np.float32]  # [N, D]: principal components of the teacher's features, of variance one
