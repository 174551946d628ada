"""Keys and values of a prompt with room for its answer: a step writes a column instead of copying all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64  # columns that are added at a time


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers' own hook is untyped
    """A layer's keys and values [B, heads, n, d], views of buffers that are longer than n."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append [B, heads, m, d] each; returns all so far. Columns that were returned before stay as they were."""
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        if self._buffers is None or after > self._buffers[0].shape[-2]:
            self._grow(key_states, before, after)
        if self._buffers is None:
            raise AssertionError("the buffers were made above")
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., before:after, :] = new
        self.keys, self.values = (buffer[..., :after, :] for buffer in self._buffers)
        return self.keys, self.values

    def _grow(self, like: Tensor, before: int, after: int) -> None:
        if not self.is_initialized:
            self.lazy_initialization(like, like)
        B, heads, _, d = like.shape
        fresh = torch.empty(2, B, heads, after + ROOM, d, dtype=like.dtype, device=like.device)
        if self._buffers is not None:
            for buffer, kept in zip(fresh, self._buffers, strict=True):
                buffer[..., :before, :] = kept[..., :before, :]
        self._buffers = (fresh[0], fresh[1])


def answer_cache(layers: int) -> Cache:
    """An empty cache for a model of `layers` layers."""
    return Cache(layers=[RoomyLayer() for _ in range(layers)])
