"""The MQTT 5 client that gateways, workers and dashboards share."""

from shared.mqtt.address import BrokerAddress, parse_address
from shared.mqtt.client import MqttClient
from shared.mqtt.config import MqttConfig, Will
from shared.mqtt.connection import Confirmation
from shared.mqtt.errors import LinkDownError, RefusedError
from shared.mqtt.message import Incoming, Properties

__all__ = [
    "BrokerAddress",
    "Confirmation",
    "Incoming",
    "LinkDownError",
    "MqttClient",
    "MqttConfig",
    "Properties",
    "RefusedError",
    "Will",
    "parse_address",
]
