"""The gateway's side of the store: bakes as they are escalated, the cloud's word as it comes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge.gateway.troubles import Troubles
from edge.loop.rows import BakeRow
from edge.loop.store import Store
from shared.clip import decode_clip
from shared.errors import BadInputError
from shared.messages import BakeVerdict, LineVerdict
from shared.retention import NO_LIMITS, Limits
from shared.topics import Line

log = logging.getLogger(__name__)

PURGE_BAKES = 256  # how often the limits are looked at


class Collector:
    """Writes to a store from threads. A disk that refuses is a trouble of the gateway: it costs lessons, no verdict."""

    def __init__(self, store: Store, line: Line, camera: str, model: str, troubles: Troubles, limits: Limits) -> None:
        """`model` is the SHA-256 of the model that decides."""
        self._store, self._line, self._camera, self._model = store, line, camera, model
        self._troubles, self._limits = troubles, limits
        self._added = 0

    async def keep(
        self,
        verdict: LineVerdict,
        decision: str,
        clip: bytes,
        key: int,
        seen: NDArray[np.uint8],
        sure_share: float,
    ) -> None:
        """Keep an escalated bake: `clip` as it is sent, frame `key` of it, which the classifier saw as `seen`.

        `sure_share` is the probability with which a bake that the gate is sure of is escalated.
        """
        if await self._write(self._keep, verdict, decision, clip, key, seen.tobytes(), sure_share):
            self._troubles.end("store")

    def _keep(self, verdict: LineVerdict, decision: str, clip: bytes, key: int, seen: bytes, sure_share: float) -> None:
        frames = [frame.jpeg for frame in decode_clip(clip, verified=True)]
        edge = verdict.edge
        row = BakeRow(
            id=verdict.id,
            task=self._store.about.task,
            site=self._line.site,
            gateway=self._line.gateway,
            camera=self._camera,
            bake=verdict.bake,
            captured_us=round(verdict.captured_at * 1e6),
            decision=decision,
            share=sure_share if decision == "audit" else 1.0,
            sure_share=sure_share,
            model_sha256=self._model,
            label=edge.label,
            probability=edge.probability,
            sure=edge.sure,
            logits=list(edge.logits),
            clip_sha256=verdict.clip_sha256 or "",
            frames=len(frames),
            key=key,
            frame_bytes=sum(map(len, frames)),
            seen=seen,
        )
        self._store.add_bake(row, frames)
        self._added += 1
        if self._limits != NO_LIMITS and self._added % PURGE_BAKES == 1:
            self._store.purge(self._limits, time.time())

    async def answered(self, bake_id: bytes, verdict: BakeVerdict, clip_sha256: str, wall_us: int) -> None:
        """Note the cloud's word, before the gateway acts on it: then a crash cannot come between the two."""
        await self._write(self._store.add_cloud, bake_id.hex(), verdict, clip_sha256, wall_us)

    async def close(self) -> None:
        """Write what is in memory."""
        await self._write(self._store.flush)

    async def _write(self, work: Callable[..., object], *arguments: object) -> bool:
        try:
            await asyncio.to_thread(work, *arguments)
        except BadInputError as error:
            self._troubles.begin("store", str(error))
            return False
        return True
