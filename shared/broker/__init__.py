"""The embedded broker: mosquitto or iotcore as a child process, for the demo, tests and small sites."""

from shared.broker.embedded import EmbeddedBroker, Kind, choose_kind

__all__ = ["EmbeddedBroker", "Kind", "choose_kind"]
