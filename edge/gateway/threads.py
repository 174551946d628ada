"""Blocking sources on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from edge.gateway.sources import SourceItem


async def in_thread(items: Iterator[SourceItem]) -> AsyncIterator[SourceItem]:
    """The items of a blocking source, each read in a thread so that the link stays alive meanwhile."""
    while (item := await asyncio.to_thread(next, items, None)) is not None:
        yield item
