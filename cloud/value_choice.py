"""Which value an answer states where the vocabulary has a token for each: the one that errs least, not the likeliest.

Greedy decoding takes the mode. Beside "0" with a third of the probability, "1", "2" and "3" with a fifth each lose, and
a pizza that is charred for two thirds is said to have no char at all (decision 0128). Of a percentage or a length the
median is stated, which has the least expected error; of an hour the one with the most probability around it on the
clock face. No char is stated only from a probability of 2/3 on, as a missed char costs twice a false one, and no hour
only where that is likelier than all hours together. Labels stay what they are: the likeliest.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor

from cloud.vocabulary import FRAGMENTS

NULL = "null"
NONE, PLACES = "none", ("rim", "centre")  # of char
NO_CHAR = 2 / 3
HOURS = 12
NEIGHBOUR = 0.5  # weight of the hours next to the one that is judged


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
        self._numeric = torch.zeros(rows, dtype=torch.bool)  # [V]
        self._numeric[self._ids] = True

    def __call__(self, free: Tensor) -> Tensor:
        """Tokens int64 [B] for logits [B, V] that are -inf where a token is not allowed."""
        chosen = free.argmax(-1)  # [B]
        if not len(self._ids):
            return chosen
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
                around = shares[:-1] + NEIGHBOUR * (shares[:-1].roll(1) + shares[:-1].roll(-1))  # [12]
                chosen[row] = self._null if shares[-1] > 0.5 else int(self._hours[int(around.argmax())])
        if len(self._places):
            places = allowed[:, self._places].all(1) & (allowed.sum(1) == len(self._places))  # [B]
            for row in torch.nonzero(places)[:, 0].tolist():
                shares = free[row, self._places].softmax(0)  # [3]
                chosen[row] = self._places[-1 if shares[-1] > NO_CHAR else int(shares[:-1].argmax())]
        return chosen
