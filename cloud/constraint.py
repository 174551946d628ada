"""Keeps answers to a JSON schema while they are decoded, with llguidance (decision 0120).

In each step the library says which tokens can still lead to a text of the schema; the model chooses among them. So an
answer always parses, whatever the weights, and costs no second try. Log probabilities stay those of the free model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import llguidance.numpy as bits
import numpy as np
import torch
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from cloud.spatial_mllm.tokenizer import SPECIAL
from cloud.value_choice import ValueChoice
from shared.errors import BadInputError

COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}


class Words:
    """A word-level vocabulary in the form that llguidance takes; it knows byte-level ones by itself."""

    def __init__(self, tokenizer: Tokenizer, rows: int, end: int) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = end
        self.bos_token_id = None
        entries = [tokenizer.id_to_token(index) or "" for index in range(rows)]
        self.tokens = [entry.encode() for entry in entries]
        self.special_token_ids = [
            index for index, entry in enumerate(entries) if entry in SPECIAL or (entry[:1] == "<" and entry[-1:] == ">")
        ]

    def __call__(self, text: str) -> list[int]:
        """Token ids of `text`."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


class SchemaGrammar:
    """One vocabulary and the schemas that answers in it are kept to. Compiled once a schema."""

    def __init__(self, tokenizer: Tokenizer, rows: int, ends: Sequence[int]) -> None:
        """`rows`: of the model's output layer; `ends`: tokens that end an answer."""
        self.rows = rows
        self._ends = tuple(ends)
        kind = json.loads(tokenizer.to_str())["model"]["type"]
        if kind == "WordLevel":
            form: Any = TokenizerWrapper(Words(tokenizer, rows, ends[0]))
        else:
            form = tokenizer.to_str()
        try:
            self._tokenizer = LLTokenizer(form, n_vocab=rows, eos_token=list(ends))
        except ValueError as error:
            raise BadInputError(f"answers in this vocabulary cannot be kept to a form: {error}") from None
        self._choice = ValueChoice(tokenizer, rows)
        self._ready: dict[str, LLMatcher] = {}

    def constraint(self, schema: Mapping[str, Any], batch: int) -> AnswerConstraint:
        """A constraint for `batch` rows that all answer in `schema`. Raises BadInputError for an impossible schema."""
        text = json.dumps({**schema, "x-guidance": COMPACT})
        if text not in self._ready:
            matcher = LLMatcher(self._tokenizer, LLMatcher.grammar_from_json_schema(text))
            if matcher.is_error():
                raise BadInputError(f"no grammar of this schema: {matcher.get_error()}")
            self._ready[text] = matcher
        matchers = [self._ready[text].deep_copy() for _ in range(batch)]
        return AnswerConstraint(matchers, self.rows, self._ends, self._choice)


class AnswerConstraint:
    """What each row of a batch may say next. Good for one batch."""

    def __init__(self, matchers: Sequence[LLMatcher], rows: int, ends: Sequence[int], choice: ValueChoice) -> None:
        self.directions: dict[int, float] = {}
        """Of each row that has named an hour: degrees, finer than the hour (`ValueChoice`)."""
        self._choice = choice
        self._matchers = list(matchers)
        self._rows = rows
        self._ends = list(ends)
        self._ended = [False] * len(self._matchers)
        self._mask: NDArray[np.int32] = bits.allocate_token_bitmask(len(self._matchers), rows)  # [B, rows/32]

    def allowed(self, device: torch.device) -> Tensor:
        """Bool [B, rows]; everything in a row that has ended."""
        for row, matcher in enumerate(self._matchers):
            if self._ended[row]:
                self._mask[row] = -1
            elif matcher.is_stopped():  # the last brace is written: nothing may follow but the end
                self._mask[row] = 0
                for end in self._ends:
                    self._mask[row].view(np.uint32)[end // 32] |= np.uint32(1 << end % 32)
            else:
                bits.fill_next_token_bitmask(matcher, self._mask, row)
                if matcher.is_error() or not self._mask[row].any():
                    raise BadInputError("the checkpoint's vocabulary cannot write the answers of this task")
        flat = np.unpackbits(self._mask.view(np.uint8), axis=1, bitorder="little")  # [B, >= rows]
        return torch.from_numpy(flat[:, : self._rows].astype(np.bool_)).to(device)  # [B, rows]

    def choose(self, free: Tensor) -> Tensor:
        """The next token of each row, int64 [B]; see `ValueChoice`."""
        chosen = self._choice(free)
        self.directions.update(chosen.directions)
        return chosen.tokens

    def take(self, chosen: Tensor, ended: Tensor) -> None:
        """The rows go on with `chosen`, int64 [B]; those in `ended`, bool [B], had ended before."""
        for row, (token, over) in enumerate(zip(chosen.tolist(), ended.tolist(), strict=True)):
            self._ended[row] = over or self._ended[row] or token in self._ends
            matcher = self._matchers[row]
            if not self._ended[row] and not matcher.consume_token(token):
                raise RuntimeError(f"the grammar refuses token {token} that it had allowed: {matcher.get_error()}")
