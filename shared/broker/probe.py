"""Is a broker alive? Only a CONNACK to a real CONNECT says so: an open port does not (iotcore's router can be dead
behind a live listener)."""

from __future__ import annotations

import socket
import struct

CONNACK = 0x20
_LEVEL_5 = 5
_CLEAN_START = 0x02


def connect_packet(client_id: str) -> bytes:
    """A minimal MQTT 5 CONNECT (3.1): clean start, keep-alive 10 s, no properties."""
    name = client_id.encode()
    body = (
        struct.pack(">H4sBBH", 4, b"MQTT", _LEVEL_5, _CLEAN_START, 10)
        + b"\x00"  # no properties
        + struct.pack(">H", len(name))
        + name
    )
    if len(body) > 127:
        raise ValueError("the client id is too long for a one-byte remaining length")
    return bytes((0x10, len(body))) + body


def answers(host: str, port: int, timeout_s: float = 1.0, client_id: str = "cw-probe") -> bool:
    """True when a broker at `host`:`port` accepts a CONNECT within `timeout_s`."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as link:
            link.settimeout(timeout_s)
            link.sendall(connect_packet(client_id))
            head = link.recv(4)  # type, remaining length, session present, reason code
            link.sendall(b"\xe0\x00")  # DISCONNECT
    except OSError:
        return False
    return len(head) == 4 and head[0] == CONNACK and head[3] == 0
