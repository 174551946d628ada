"""A small MQTT 5 broker that breaks its promises by seed: it drops, repeats, delays and reorders.

The packets are those of the library `mqtt5`; here is only what a broker does with them: sessions, shared and retained
messages, wills, receive maximum. What becomes of a message is drawn from a hash of the seed and of the message itself,
so that it does not depend on who is quicker. Observers are served without faults: they are the witnesses.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import mqtt5

MAX_WAITING = 20_000  # messages a session may have waiting; more is an error of the part that does not read


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """Shares of messages and acknowledgements, each from 0 to 1."""

    ack_lost: float = 0.002
    ack_twice: float = 0.02
    ack_late: float = 0.04
    ack_mistaken: float = 0.0  # SUBACK for what is to have a PUBACK
    lost: float = 0.02  # of requests and answers, though acknowledged
    twice: float = 0.03
    late: float = 0.05
    delay_s: float = 0.12  # at most


@dataclass
class Session:
    """One connected client."""

    client: str
    writer: asyncio.StreamWriter
    receive_maximum: int
    will: mqtt5.Will | None
    faultless: bool
    filters: list[str] = field(default_factory=list)
    unacknowledged: set[int] = field(default_factory=set)
    waiting: deque[tuple[mqtt5.PublishPacket, bool]] = field(default_factory=deque)
    last_packet: int = 0


class FaultyBroker:
    """Serves `port` of loopback between `start` and `stop`."""

    def __init__(self, port: int, seed: int, misbehaviour: Misbehaviour | None = None) -> None:
        self.port, self._seed = port, seed
        self._shares = misbehaviour or Misbehaviour()
        self._sessions: dict[str, Session] = {}
        self._retained: dict[str, mqtt5.PublishPacket] = {}
        self._turns: dict[str, int] = {}  # of shared subscriptions
        self._server: asyncio.Server | None = None
        self._late: set[asyncio.TimerHandle] = set()
        self._serial = 0
        self.done: dict[str, int] = {}  # what was done to messages, by name

    async def start(self) -> None:
        """Listen; nothing to do where it does, as after two kills in a row of which the first has ended both."""
        if self._server is not None:
            return
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def kill(self, *, lose_data: bool = False) -> None:
        """Vanish: no goodbye, no wills, everything in flight lost, and perhaps what was retained."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for timer in self._late:
            timer.cancel()
        self._late.clear()
        sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            session.writer.transport.abort()
        if lose_data:
            self._retained.clear()
        if server is not None:
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session: Session | None = None
        buffer = bytearray()
        try:
            while data := await reader.read(65_536):
                buffer += data
                while True:
                    try:
                        packet, size = mqtt5.read(memoryview(bytes(buffer)))
                    except IndexError:  # not whole yet
                        break
                    del buffer[:size]
                    if session is None:
                        if not isinstance(packet, mqtt5.ConnectPacket):
                            return
                        session = self._connect(packet, writer)
                    elif isinstance(packet, mqtt5.DisconnectPacket):
                        session.will = None
                    else:
                        self._handle(session, packet)
                await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            if session is not None and self._sessions.get(session.client) is session:
                del self._sessions[session.client]
                self._say_will(session)
            writer.transport.abort()

    def _connect(self, packet: mqtt5.ConnectPacket, writer: asyncio.StreamWriter) -> Session:
        client = packet.client_id
        if (earlier := self._sessions.pop(client, None)) is not None:
            earlier.writer.transport.abort()
            self._say_will(earlier)
        session = Session(client, writer, packet.receive_max, packet.will, "observer" in client)
        self._sessions[client] = session
        writer.write(mqtt5.ConnAckPacket().write())
        return session

    def _say_will(self, session: Session) -> None:
        if (will := session.will) is not None:
            said = mqtt5.PublishPacket(
                will.topic,
                will.payload or b"",
                qos=will.qos,
                retain=will.retain,
                packet_id=1 if will.qos else None,  # each receiver gets one of its own
            )
            self._route(said, "will")

    def _handle(self, session: Session, packet: mqtt5.Packet) -> None:
        if isinstance(packet, mqtt5.PublishPacket):
            self._publish(session, packet)
        elif isinstance(packet, mqtt5.PubAckPacket):
            session.unacknowledged.discard(packet.packet_id)
            while session.waiting and len(session.unacknowledged) < session.receive_maximum:
                self._send(session, *session.waiting.popleft())
        elif isinstance(packet, mqtt5.SubscribePacket):
            self._subscribe(session, packet)
        elif isinstance(packet, mqtt5.PingReqPacket):
            session.writer.write(mqtt5.PingRespPacket().write())

    def _subscribe(self, session: Session, packet: mqtt5.SubscribePacket) -> None:
        codes = []
        for wanted in packet.topic_filters:
            session.filters.append(wanted.pattern)
            codes.append(mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE)
            for topic, kept in self._retained.items():
                if not wanted.pattern.startswith("$share/") and matches(wanted.pattern, topic):
                    self._give(session, kept, retain=True)
        session.writer.write(mqtt5.SubAckPacket(packet.packet_id, codes).write())

    def _publish(self, session: Session, packet: mqtt5.PublishPacket) -> None:
        self._serial += 1
        key = f"{packet.topic}/{packet.correlation_data!r}/{packet.user_properties}/{zlib.crc32(packet.payload)}"
        code = mqtt5.PubAckReasonCode.SUCCESS
        if not self._route(packet, key):
            code = mqtt5.PubAckReasonCode.NO_MATCHING_SUBSCRIBERS
        if packet.qos == mqtt5.QoS.AT_MOST_ONCE or packet.packet_id is None:
            return
        answer, shares = mqtt5.PubAckPacket(packet.packet_id, reason_code=code).write(), self._shares
        if session.faultless:
            session.writer.write(answer)
        elif self._fate("ack mistaken", f"{self._serial}", shares.ack_mistaken):
            granted = [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE]
            session.writer.write(mqtt5.SubAckPacket(packet.packet_id, granted).write())
        elif not self._fate("ack lost", f"{self._serial}", shares.ack_lost):
            for repeated in range(1 + self._fate("ack twice", key, shares.ack_twice)):
                late_s = self._delay_s("ack late", f"{key}{repeated}", shares.ack_late)
                self._write(session, answer, late_s)

    def _route(self, packet: mqtt5.PublishPacket, key: str) -> bool:
        """Give a message to whom it concerns. False: nobody."""
        if packet.retain:
            self._retained.pop(packet.topic, None)
            if packet.payload:
                self._retained[packet.topic] = packet
        groups: dict[str, list[Session]] = {}
        heard = False
        for session in self._sessions.values():
            for pattern in session.filters:
                if pattern.startswith("$share/"):
                    _, group, shared = pattern.split("/", 2)
                    if matches(shared, packet.topic):
                        groups.setdefault(group, []).append(session)
                elif matches(pattern, packet.topic):
                    heard = True
                    self._pass_on(session, packet, key)
                    break
        for group, members in groups.items():
            turn = self._turns[group] = self._turns.get(group, -1) + 1
            heard = True
            self._pass_on(members[turn % len(members)], packet, key)
        return heard

    def _pass_on(self, session: Session, packet: mqtt5.PublishPacket, key: str) -> None:
        shares = self._shares
        if session.faultless:
            self._give(session, packet)
            return
        if packet.topic.startswith(("cw/1/req/", "cw/1/rsp/")):  # those that are sent again
            if self._fate("lost", key, shares.lost):
                return
            copies = 1 + self._fate("twice", key, shares.twice)
        else:
            copies = 1
        for number in range(copies):
            late_s = self._delay_s("late", f"{key}{number}", shares.late)
            if late_s:
                self._call_later(late_s, partial(self._give, session, packet))
            else:
                self._give(session, packet)

    def _give(self, session: Session, packet: mqtt5.PublishPacket, *, retain: bool = False) -> None:
        if len(session.unacknowledged) < session.receive_maximum:
            self._send(session, packet, retain)
        else:
            session.waiting.append((packet, retain))
            assert len(session.waiting) < MAX_WAITING, f"{session.client} does not read"

    def _send(self, session: Session, packet: mqtt5.PublishPacket, retain: bool) -> None:
        if self._sessions.get(session.client) is not session:
            return
        session.last_packet = next(
            number
            for step in range(1, 65_536)
            if (number := (session.last_packet + step - 1) % 65_535 + 1) not in session.unacknowledged
        )
        session.unacknowledged.add(session.last_packet)
        copy = mqtt5.PublishPacket(
            packet.topic,
            packet.payload,
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            retain=retain,
            packet_id=session.last_packet,
            message_expiry_interval=packet.message_expiry_interval,
            content_type=packet.content_type,
            response_topic=packet.response_topic,
            correlation_data=packet.correlation_data,
            user_properties=packet.user_properties,
        )
        session.writer.write(copy.write())

    def _write(self, session: Session, data: bytes, late_s: float) -> None:
        def write() -> None:
            if self._sessions.get(session.client) is session:
                session.writer.write(data)

        if late_s:
            self._call_later(late_s, write)
        else:
            write()

    def _call_later(self, late_s: float, work: Callable[[], None]) -> None:
        def run() -> None:
            self._late.discard(timer)
            work()

        timer = asyncio.get_running_loop().call_later(late_s, run)
        self._late.add(timer)

    def _fate(self, what: str, key: str, share: float) -> bool:
        struck = zlib.crc32(f"{self._seed}/{what}/{key}".encode()) < share * 2**32
        if struck:
            self.done[what] = self.done.get(what, 0) + 1
        return struck

    def _delay_s(self, what: str, key: str, share: float) -> float:
        if not self._fate(what, key, share):
            return 0.0
        return self._shares.delay_s * (zlib.crc32(f"{what}{key}".encode()) % 1000 + 1) / 1000


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic filter takes a topic (MQTT 5, 4.7)."""
    parts, levels = pattern.split("/"), topic.split("/")
    for index, part in enumerate(parts):
        if part == "#":
            return True
        if index >= len(levels) or part not in ("+", levels[index]):
            return False
    return len(parts) == len(levels)
