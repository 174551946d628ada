"""The embedded broker: mosquitto or iotcore as a child process, for the demo, tests and small sites.

The MQTT client is loaded on first use: `crustwatch --help` imports this package to read one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.broker.embedded import EmbeddedBroker, Kind, choose_kind

__all__ = ["EmbeddedBroker", "Kind", "choose_kind"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from shared.broker import embedded

        return getattr(embedded, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
