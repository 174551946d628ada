"""Which value an answer states where the vocabulary has a token for each: the one that errs least, not the likeliest.

Greedy decoding takes the mode. Beside "0" with a third of the probability, "1", "2" and "3" with a fifth each lose, and
a pizza that is charred for two thirds is said to have no char at all (decision 0128). Of a percentage or a length the
median is stated, which has the least expected error. Shares of hours are read as the probability of a direction, and
the one stated is likeliest to be within 30 degrees of the truth: it lies between two hours where both are likely
(decision 0143), and the hour is the nearest one. No char is stated only from a probability of 2/3 on, as a missed char
costs twice a false one, and no hour only where that is likelier than all hours together. Labels stay what they are:
the likeliest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from tokenizers import Tokenizer
from torch import Tensor

from cloud.vocabulary import FRAGMENTS

NULL = "null"
NONE, PLACES = "none", ("rim", "centre")  # of char
NO_CHAR = 2 / 3
HOURS = 12
STEP_DEG = 2  # between directions; no multiple of it lies midway between two hours
NEAR_DEG = 30.0
SPREAD_DEG = 12.0  # of the directions that one hour stands for, as a standard deviation


@dataclass(frozen=True)
class Chosen:
    """What each row says next.

    Attributes:
        tokens: int64 [B].
        directions: of the rows that name an hour now, degrees clockwise from 12 o'clock, 0 to below 360.
    """

    tokens: Tensor
    directions: dict[int, float] = field(default_factory=dict)


def nearness() -> Tensor:
    """Probability fp32 [360 / STEP_DEG, 12] that a direction is within NEAR_DEG of the true one, when each hour is."""
    directions = torch.arange(0, 360, STEP_DEG)[:, None]  # [D, 1]
    hours = 360 // HOURS * torch.arange(1, HOURS + 1)  # [12] degrees
    apart = (directions - hours + 180) % 360 - 180  # [D, 12] degrees
    edges = torch.stack((apart + NEAR_DEG, apart - NEAR_DEG)) / SPREAD_DEG  # [2, D, 12]
    below: Tensor = torch.special.ndtr(edges)  # [2, D, 12]
    return below[0] - below[1]


class ValueChoice:
    """Chooses among the allowed tokens of a step."""

    def __init__(self, tokenizer: Tokenizer, rows: int) -> None:
        """`rows`: of the model's output layer. A vocabulary without the answer's own tokens leaves all to argmax."""
        own = tokenizer.token_to_id(FRAGMENTS[0]) is not None
        numbers = {value: tokenizer.token_to_id(str(value)) for value in range(101)} if own else {}
        known = {value: token for value, token in numbers.items() if token is not None and token < rows}
        self._ids = torch.tensor([known[value] for value in sorted(known)], dtype=torch.int64)  # [n], ascending values
        self._hours = torch.tensor([known[hour] for hour in range(1, HOURS + 1)] if known else [], dtype=torch.int64)
        null = tokenizer.token_to_id(NULL)
        self._null = -1 if null is None else int(null)
        stated = [tokenizer.token_to_id(place) for place in (*PLACES, NONE)] if known else []
        self._places = torch.tensor([token for token in stated if token is not None], dtype=torch.int64)  # none last
        self._nearness = nearness()  # [D, 12]
        self._numeric = torch.zeros(rows, dtype=torch.bool)  # [V]
        self._numeric[self._ids] = True

    def __call__(self, free: Tensor) -> Chosen:
        """Choose by logits [B, V] that are -inf where a token is not allowed."""
        chosen = free.argmax(-1)  # [B]
        directions: dict[int, float] = {}
        if not len(self._ids):
            return Chosen(chosen)
        allowed = free.isfinite().cpu()  # [B, V]
        ordinary = allowed & ~self._numeric
        numbers = allowed[:, self._ids].sum(1) > 1  # [B]
        for row in torch.nonzero(numbers)[:, 0].tolist():
            others = torch.nonzero(ordinary[row])[:, 0].tolist()
            if not others:
                shares = free[row, self._ids].softmax(0).cumsum(0)  # [n]
                chosen[row] = self._ids[int((shares < 0.5).sum().clamp_max(len(shares) - 1))]
            elif others == [self._null]:
                shares = free[row, [*self._hours.tolist(), self._null]].softmax(0)  # [13]
                if shares[-1] > 0.5:
                    chosen[row] = self._null
                    continue
                direction = STEP_DEG * int((self._nearness @ shares[:-1].cpu()).argmax())
                chosen[row] = self._hours[round(direction / 360 * HOURS) - 1]  # of 0 and of 12 the last one
                directions[row] = float(direction)
        if len(self._places):
            places = allowed[:, self._places].all(1) & (allowed.sum(1) == len(self._places))  # [B]
            for row in torch.nonzero(places)[:, 0].tolist():
                shares = free[row, self._places].softmax(0)  # [3]
                chosen[row] = self._places[-1 if shares[-1] > NO_CHAR else int(shares[:-1].argmax())]
        return Chosen(chosen, directions)
