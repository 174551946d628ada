"""One MQTT connection from CONNECT to its end: the only file that touches paho's client and its socket."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
import sys
from collections.abc import Callable, Generator
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.reasoncodes import ReasonCode

from shared.errors import BadInputError
from shared.mqtt.config import MqttConfig
from shared.mqtt.errors import LinkDownError, RefusedError
from shared.mqtt.guarded import MAX_IN_FLIGHT, MAX_PACKET_BYTES, GuardedClient
from shared.mqtt.message import Incoming, Properties

NO_MATCHING_SUBSCRIBERS = 0x10
_FAILURE = 0x80  # reason codes from here on are errors (MQTT 5, 2.4)
WRITE_AT_ONCE_BYTES = 16 * 1024  # a large message does not wait for the loop's next turn; small ones gather for it
_HOUSEKEEPING_S = 1.0  # how often keep-alive is looked after


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho forgets it then."""

    def do_handshake(self, block: bool = False) -> None:
        """As SSLSocket's."""
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


class Confirmation:
    """What a publication comes to: awaited, it waits for PUBACK at QoS 1.

    False when the broker says that nobody subscribes to the topic. Raises as `MqttClient.publish`.
    """

    __slots__ = ("_code", "_known", "_lost", "_then", "_topic", "_waiter")

    def __init__(self, topic: str, *, known: bool = True) -> None:
        """Of QoS 0 all is `known` at once."""
        self._topic = topic
        self._known = known
        self._code = 0
        self._lost: str | None = None  # why the connection ended before the broker's word came
        self._waiter: asyncio.Future[None] | None = None
        self._then: Callable[[Confirmation], None] | None = None

    def settle(self, code: int, lost: str | None = None) -> None:
        """The broker's reason code has come, or the connection is `lost`."""
        self._code, self._lost, self._known = code, lost, True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._then is not None:
            self._then(self)

    def then(self, tell: Callable[[Confirmation], None]) -> None:
        """Call `tell` with this once `outcome` is known, without a task that waits for it."""
        if self._known:
            tell(self)
        else:
            self._then = tell

    def code(self) -> int:
        """The reason code that came. Raises LinkDownError."""
        if self._lost is not None:
            raise LinkDownError(f"connection to the broker lost: {self._lost}")
        return self._code

    def outcome(self) -> bool:
        """What awaiting it gives, once that is known."""
        code = self.code()
        if code >= _FAILURE:
            raise RefusedError(f"the broker refuses a message to {self._topic}: {_reason(code)}")
        return code != NO_MATCHING_SUBSCRIBERS

    def __await__(self) -> Generator[Any, None, bool]:
        if not self._known:
            if self._waiter is None or self._waiter.done():  # who waited before was cancelled
                self._waiter = asyncio.get_running_loop().create_future()
            yield from self._waiter
        return self.outcome()


class Connection:
    """A connection that is opened once, and once lost stays lost."""

    def __init__(
        self, config: MqttConfig, serial: int, receive: Callable[[Incoming], None], lost: Callable[[], None]
    ) -> None:
        self.serial = serial
        self._config = config
        self._receive = receive
        self._tell_lost = lost  # called at once, before anybody else can try to use this connection
        self._loop = asyncio.get_running_loop()
        self._accepted: asyncio.Future[None] = self._loop.create_future()
        self._lost: asyncio.Future[str] = self._loop.create_future()
        # Packet id -> who is to know the reason code of PUBACK, and since when; the oldest stands first. The ids of
        # subscriptions stand here as negative numbers: a SUBACK must not settle a publication.
        self._waiting: dict[int, tuple[Confirmation, float]] = {}
        self._reading: socket.socket | None = None  # the open socket
        self._pausing = False  # too many messages are held
        self._paused = False  # the socket is not read
        self._watching = False  # the selector waits until the socket takes more
        self._housekeeper: asyncio.Task[None] | None = None
        self._client = self._new_client()

    def _new_client(self) -> GuardedClient:
        address = self._config.address
        client = GuardedClient(
            CallbackAPIVersion.VERSION2,
            client_id=self._config.client_id,
            protocol=paho.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._config.connect_timeout_s
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if address.tls:
            try:
                context = (self._config.tls_context or ssl.create_default_context)()
            except BadInputError as error:  # half of a renewed pair: the next attempt finds both
                raise LinkDownError(f"no TLS to the broker at {address}: {error}") from None
            context.sslsocket_class = _TlsSocket
            client.tls_set_context(context)
        if self._config.will is not None:
            client.will_set(self._config.will.topic, self._config.will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.received = self._on_message
        client.acknowledged = self._answer
        client.on_subscribe = self._on_subscribed
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_want_write
        client.on_socket_unregister_write = self._on_nothing_to_write
        return client

    async def open(self) -> None:
        """Connect and wait for CONNACK. Raises LinkDownError or RefusedError."""
        address = self._config.address
        try:
            await asyncio.to_thread(self._dial)
            self._watch_socket()
            self._housekeeper = asyncio.create_task(self._keep_house(), name="mqtt keep-alive")
            async with asyncio.timeout(self._config.connect_timeout_s):
                answers: set[asyncio.Future[Any]] = {self._accepted, self._lost}
                await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, ValueError) as error:  # TimeoutError and ssl.SSLError are OSErrors
            reason = str(error) or "no answer in time"
            raise LinkDownError(f"cannot connect to the broker at {address}: {reason}") from None
        if self._accepted.done():
            self._accepted.result()
        else:
            hint = "; is this certificate expired, revoked or of another site?" if address.tls else ""
            raise LinkDownError(f"the broker at {address} closed the connection: {self._lost.result()}{hint}")

    def _dial(self) -> None:
        """The blocking part, in a thread; the loop takes the socket over when it returns."""
        properties = PahoProperties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = self._config.receive_maximum
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        properties.SessionExpiryInterval = 0
        address = self._config.address
        self._client.connect(
            address.host, address.port, self._config.keepalive_s, clean_start=True, properties=properties
        )
        if self._lost.done() and (abandoned := self._client.socket()) is not None:
            abandoned.close()  # `close` came while this was connecting

    async def wait_lost(self) -> str:
        """Wait until the connection is gone; returns why."""
        return await asyncio.shield(self._lost)

    def check(self) -> None:
        """Raise LinkDownError when the connection is gone."""
        if self._lost.done():
            raise LinkDownError(f"connection to the broker lost: {self._lost.result()}")

    async def close(self) -> None:
        """Disconnect in order when still connected; never raises."""
        if not self._lost.done() and self._reading is not None:
            self._client.disconnect()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self.wait_lost()
        if self._housekeeper is not None:
            self._housekeeper.cancel()
        self._abandon("closed")

    async def subscribe(self, topic_filter: str) -> None:
        """Subscribe at QoS 1 and wait for SUBACK. Raises LinkDownError or RefusedError."""
        result, packet = self._client.subscribe(topic_filter, qos=1)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or packet is None:
            raise LinkDownError(f"cannot subscribe to {topic_filter}: {paho.error_string(result)}")
        answer = self._ask(-packet, topic_filter)
        with contextlib.suppress(RefusedError):  # of a message, in its words
            await answer
        if (code := answer.code()) >= _FAILURE:
            raise RefusedError(f"the broker refuses the subscription to {topic_filter}: {_reason(code)}")

    def send(self, topic: str, payload: bytes, qos: int, retain: bool, properties: Properties | None) -> Confirmation:
        """Publish now. Raises LinkDownError."""
        self.check()
        packet = self._client.send_publish(topic, payload, qos, retain, properties)
        if len(payload) > WRITE_AT_ONCE_BYTES:
            self._write()
        return self._ask(packet, topic) if qos else Confirmation(topic)

    def acknowledge(self, packet: int) -> None:
        """Send PUBACK for a received QoS 1 message."""
        self._client.send_puback(packet)

    def pause_reading(self) -> None:
        """Stop reading from the socket. Longer than the keep-alive it costs the connection, which is meant.

        While an acknowledgement is waited for, reading goes on: it comes on the same socket, and whoever takes the
        messages may be the one who waits.
        """
        self._pausing = True
        self._read_or_not()

    def resume_reading(self) -> None:
        """Read again after `pause_reading`."""
        self._pausing = False
        self._read_or_not()

    def _read_or_not(self) -> None:
        pause = self._pausing and not self._waiting
        if pause == self._paused or self._reading is None:
            return
        self._paused = pause
        if pause:
            self._loop.remove_reader(self._reading)
        else:
            self._loop.add_reader(self._reading, self._read)
            if isinstance(self._reading, ssl.SSLSocket):  # the selector knows nothing of what is decrypted already
                self._loop.call_soon(self._read)

    def _ask(self, packet: int, topic: str) -> Confirmation:
        """What the acknowledgement of a packet just sent will be found in."""
        self.check()  # writing the message may have found the connection gone: nobody would answer
        reply = Confirmation(topic, known=False)
        self._waiting[packet] = (reply, self._loop.time())
        if self._paused:
            self._read_or_not()
        return reply

    async def _keep_house(self) -> None:
        patience_s = self._config.ack_timeout_s
        while self._client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS:
            _, asked_s = next(iter(self._waiting.values()), (None, math.inf))
            if self._loop.time() - asked_s > patience_s:
                # On this connection it may not be sent again (MQTT 5, 4.4): only a new one helps.
                self._abandon(f"an acknowledgement is missing for {patience_s:g} s")
                return
            await asyncio.sleep(_HOUSEKEEPING_S)

    def _read(self) -> None:
        open_socket = self._reading
        if open_socket is None:
            return
        self._client.loop_read()
        # TLS may hold decrypted bytes of which the selector knows nothing.
        while not self._paused and isinstance(open_socket, ssl.SSLSocket) and self._has_pending(open_socket):
            self._client.loop_read()
        if sys.platform == "linux" and self._reading is not None and not self._config.address.tls:
            # Linux falls back to delayed ACKs by itself; a broker with Nagle on (iotcore) then waits 40 ms.
            open_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _has_pending(self, open_socket: ssl.SSLSocket) -> bool:
        return self._reading is open_socket and open_socket.pending() > 0

    def _end(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)
            self._tell_lost()
        waiting, self._waiting = self._waiting, {}
        for reply, _ in waiting.values():
            reply.settle(0, reason)

    def _abandon(self, reason: str) -> None:
        """End the connection without a word to the broker."""
        self._end(reason)
        if (open_socket := self._reading) is not None:
            self._forget_socket()
            open_socket.close()

    def _watch_socket(self) -> None:
        opened: Any = self._client.socket()
        if opened is None or self._lost.done():
            return
        self._reading = opened
        self._loop.add_reader(opened, self._read)
        self._loop.call_soon(self._write)

    def _forget_socket(self) -> None:
        if self._reading is not None and self._reading.fileno() >= 0:
            self._loop.remove_reader(self._reading)
            self._loop.remove_writer(self._reading)
        self._reading = None

    # Callbacks of paho. All run in the loop, except that `_dial` calls the first two socket ones in its thread.

    def _on_socket_open(self, client: paho.Client, data: object, opened: Any) -> None:
        if opened.family in (socket.AF_INET, socket.AF_INET6):
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # 92 ms -> 0.8 ms a round trip

    def _on_want_write(self, client: paho.Client, data: object, writing: object) -> None:
        if self._reading is not None:  # else `_dial` is running, and `_watch_socket` will look
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        """Write at once what was queued in this turn of the loop: only a full socket is worth a selector's while."""
        if self._reading is not None:
            self._client.loop_write()
        if self._reading is not None and self._client.want_write():
            self._loop.add_writer(self._reading, self._client.loop_write)
            self._watching = True

    def _on_nothing_to_write(self, client: paho.Client, data: object, writing: object) -> None:
        if self._watching and self._reading is not None and self._reading.fileno() >= 0:
            self._loop.remove_writer(self._reading)
        self._watching = False

    def _on_socket_close(self, client: paho.Client, data: object, closing: object) -> None:
        self._forget_socket()

    def _on_connect(
        self, client: paho.Client, data: object, flags: object, code: ReasonCode, properties: object
    ) -> None:
        if self._accepted.done():
            return
        self._client.window = min(MAX_IN_FLIGHT, getattr(properties, "ReceiveMaximum", MAX_IN_FLIGHT))
        if code.is_failure:
            address = self._config.address
            self._accepted.set_exception(RefusedError(f"the broker at {address} refuses the connection: {code}"))
        else:
            self._accepted.set_result(None)

    def _on_disconnect(
        self, client: paho.Client, data: object, flags: object, code: ReasonCode, properties: object
    ) -> None:
        self._end(str(code))

    def _on_message(self, topic: str, payload: bytes, packet: int | None, retain: bool, properties: Properties) -> None:
        ack_key = None if packet is None else (self.serial, packet)
        self._receive(Incoming(topic, payload, retain, properties, ack_key, self._loop.time()))

    def _on_subscribed(
        self, client: paho.Client, data: object, packet: int, codes: list[ReasonCode], properties: object
    ) -> None:
        self._answer(-packet, codes[0].value)

    def _answer(self, packet: int, code: int) -> None:
        reply, _ = self._waiting.pop(packet, (None, 0.0))
        if reply is not None:
            reply.settle(code)
        if self._pausing:
            self._read_or_not()


def _reason(code: int) -> str:
    return f"reason 0x{code:02x}"
