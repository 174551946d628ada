"""A TCP proxy that is a bad network: cuts, delays, stalls as lost packets do, and half-open connections."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable


class FaultProxy:
    """Passes connections to loopback's `port` on to `upstream`, as well as its present state lets it."""

    def __init__(self, port: int, upstream: int, rng: random.Random) -> None:
        self.port, self._upstream, self._rng = port, upstream, rng
        self.is_open = True  # else connections are refused
        self.delay_s = 0.0  # of each piece of data, in each direction
        self.loss = 0.0  # share of the pieces that wait for a retransmission
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._orphans: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Cut everything and close."""
        self.cut()
        for writer in self._orphans:
            writer.transport.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def open(self) -> None:
        """Let connections through."""
        self.is_open = True

    def close(self) -> None:
        """Reset all connections and refuse new ones."""
        self.is_open = False
        self.cut()

    def delay(self, seconds: float) -> Callable[[], None]:
        """Sets the delay when it is called."""
        return lambda: setattr(self, "delay_s", seconds)

    def lose(self, share: float) -> Callable[[], None]:
        """Sets the loss when it is called."""
        return lambda: setattr(self, "loss", share)

    def cut(self) -> None:
        """Reset all connections."""
        for near, far in list(self._pairs):
            near.transport.abort()
            far.transport.abort()

    def half_open(self) -> None:
        """The far ends vanish, and the near ones are told nothing."""
        for near, far in list(self._pairs):
            self._pairs.discard((near, far))
            self._orphans.add(near)
            far.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        if not self.is_open:
            near.transport.abort()
            return
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            near.transport.abort()
            return
        pair = (near, far)
        self._pairs.add(pair)
        there = asyncio.create_task(self._pump(reader, far))
        back = asyncio.create_task(self._pump(far_reader, near))
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        for pump in (there, back):
            pump.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        if near in self._orphans:
            with contextlib.suppress(OSError):
                while await reader.read(65_536):
                    pass  # swallowed; it ends when the client gives up
            self._orphans.discard(near)
        self._pairs.discard(pair)
        for writer in pair:
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if self.loss and self._rng.random() < self.loss:
                    await asyncio.sleep(0.2)  # the least retransmission time-out of Linux
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
