"""Waits until what was committed is on the disk, without stopping the event loop for it: one fsync for many commits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from edge.gateway.storage import Storage, StorageError
from edge.gateway.troubles import DISK_BACKOFF, Troubles

GATHER_S = 0.004  # for commits that follow at once, and so that an answer that comes at once saves writing its clip

_DISK = ThreadPoolExecutor(4, thread_name_prefix="disk")  # of all outboxes of a process; they wait, they do not compute


async def on_disk(work: Callable[[], None]) -> None:
    """Do what waits for the disk, without stopping the event loop."""
    await asyncio.get_running_loop().run_in_executor(_DISK, work)


class Durability:
    """The disk's side of one outbox. While it is written to, commits gather and share the next fsync."""

    def __init__(self, store: Storage, troubles: Troubles) -> None:
        self._store = store
        self._troubles = troubles
        self._round: asyncio.Task[None] | None = None  # the fsyncs that are under way
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []  # versions of the file, and who waits for them
        self._tidying: asyncio.Task[None] | None = None  # the checkpoint that is under way
        self._rng = random.Random()

    async def reached(self) -> None:
        """Wait until all that is committed now survives a power cut, where the outbox is configured for that."""
        wanted = self._store.version()
        if self._store.synced < wanted:
            if self._round is None:
                self._round = asyncio.create_task(self._sync(), name="gateway disk")
            reached = self._round.get_loop().create_future()
            self._waiting.append((wanted, reached))
            await reached
        if self._tidying is None and self._store.log_is_long():
            self._tidying = asyncio.create_task(self._shorten(), name="gateway disk")

    async def _sync(self) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        try:
            while self._waiting:
                if not failures:
                    await asyncio.sleep(GATHER_S)
                version = self._store.version()
                try:
                    await loop.run_in_executor(_DISK, self._store.sync_log)
                except StorageError as error:
                    failures += 1
                    self._troubles.begin("disk", str(error))
                    await asyncio.sleep(DISK_BACKOFF.delay_s(failures, self._rng))
                else:
                    self._store.synced = max(self._store.synced, version)
                    failures = 0
                    self._troubles.end("disk")
                    self._tell()
        except BaseException as error:  # cancelled, or a fault of this program: nobody is to wait for ever
            for _, reached in self._waiting:
                if not reached.done():
                    reached.cancel() if isinstance(error, asyncio.CancelledError) else reached.set_exception(error)
            self._waiting.clear()
            raise
        finally:
            self._round = None

    def _tell(self) -> None:
        """Those whose version is on the disk need not wait any longer."""
        waiting, self._waiting = self._waiting, []
        for wanted, reached in waiting:
            if wanted > self._store.synced:
                self._waiting.append((wanted, reached))
            elif not reached.done():
                reached.set_result(None)

    async def _shorten(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(_DISK, self._store.shorten_log)
        finally:
            self._tidying = None

    async def leave(self) -> None:
        """Wait for what is under way: the file is about to be closed."""
        await asyncio.gather(*(task for task in (self._round, self._tidying) if task is not None))
