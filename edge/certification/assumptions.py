"""What a certificate takes for granted: said in the certificate itself, where whoever relies on it reads it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAME_TRAFFIC = "the edge meets items of the kind that the certification sample was drawn from"
EACH_BY_ITSELF = "each item of the certification sample was drawn by itself"


def assumptions(groups: NDArray[np.int64] | None, delta: float) -> tuple[str, ...]:
    """The lines of a certificate; `groups` int64 [N] are those of the sample's items, where items come in groups."""
    if groups is None or len(np.unique(groups)) == len(groups):
        return SAME_TRAFFIC, EACH_BY_ITSELF
    return SAME_TRAFFIC, (
        f"{EACH_BY_ITSELF}: here this is not so, {len(groups)} items come from {len(np.unique(groups))} groups,"
        f" and items of one group are alike, so for items of new groups the confidence is less than {1 - delta:g}"
    )
