"""iotcore (rumqttd 0.20) as the broker where mosquitto is not installed, under a guard.

Left to its defaults it speaks MQTT 3.1.1, binds every interface and cuts payloads at 20 KB. So: a generated TOML with
one MQTT 5 listener on loopback, a payload cap for clips, and segments sized so that offline messages are not lost
silently. It keeps nothing on disk, and ignores session expiry and receive maximum: the client side copes with both.
It takes members of one share group for members of one filter: workers of two tasks on one iotcore starve each other
(their bakes end by deadline), so two tasks need mosquitto or two brokers.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from shared.clip import MAX_CLIP_BYTES

MAX_PAYLOAD_BYTES = MAX_CLIP_BYTES + 64 * 1024
SEGMENT_BYTES = 64 * 1024 * 1024
SEGMENTS = 4  # a topic filter's log: 256 MB at most before the oldest messages go


def is_installed() -> bool:
    """True when the package iotcore is there."""
    return importlib.util.find_spec("iotcore") is not None


def configuration(host: str, port: int) -> str:
    """The TOML of rumqttd for one MQTT 5 listener."""
    return f"""id = 0

[router]
id = 0
max_connections = 1010
max_outgoing_packet_count = 200
max_segment_size = {SEGMENT_BYTES}
max_segment_count = {SEGMENTS}

[v5.1]
name = "v5-1"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = {MAX_PAYLOAD_BYTES}
max_inflight_count = 200
dynamic_filters = true
"""


def command(host: str, port: int, folder: Path) -> list[str]:
    """Write the configuration into `folder` and give the arguments that start iotcore with it."""
    path = folder / "rumqttd.toml"
    path.write_text(configuration(host, port), encoding="utf-8")
    return [sys.executable, "-m", "shared.broker.iotcore_child", str(path)]
