"""Keys and values in roomy buffers are those that copying gives."""

from __future__ import annotations

import torch
from transformers.cache_utils import DynamicLayer

from cloud.spatial_mllm.kv_cache import ROOM, RoomyLayer, answer_cache


def test_a_roomy_layer_holds_what_a_copied_one_holds() -> None:
    generator = torch.Generator().manual_seed(0)
    roomy, copied = RoomyLayer(), DynamicLayer()
    kept = None
    for count in (7, *[1] * (ROOM + 3), 200, 1):  # past the first room, and past several at once
        keys, values = (torch.randn(2, 3, count, 4, generator=generator) for _ in range(2))
        got, expected = roomy.update(keys, values), copied.update(keys, values)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
        assert roomy.get_seq_length() == copied.get_seq_length()
        assert roomy.get_mask_sizes(1) == copied.get_mask_sizes(1)
        kept = kept or (got[0], got[0].clone())
    assert kept is not None
    assert torch.equal(*kept)  # what was returned at first is as it was


def test_a_cache_has_a_layer_each() -> None:
    cache = answer_cache(3)
    cache.update(torch.ones(1, 1, 2, 4), torch.ones(1, 1, 2, 4), 2)
    assert [layer.get_seq_length() for layer in cache.layers] == [0, 0, 2]
