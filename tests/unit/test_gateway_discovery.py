"""The discovery message against the schema rules of Home Assistant's MQTT integration.

The rules are those of homeassistant/components/mqtt (2025.4): keys that each platform knows, device classes that ask
for a unit or for options, templates, and topics. Home Assistant drops a component that breaks one of them.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from edge.gateway.discovery import discovery_payload
from shared.messages import BakeVerdict, Classification, GatewayStats, LineVerdict, encode
from shared.task import load_task
from shared.topics import Line

TASK = load_task("pizza")
LINE = Line.of("plant-1", "oven_2")
PAYLOAD: dict[str, Any] = json.loads(discovery_payload(LINE, "belt", TASK, "emulated"))

COMMON = {
    "platform", "name", "unique_id", "icon", "entity_category", "device_class", "qos", "availability",
    "json_attributes_topic", "json_attributes_template", "enabled_by_default", "encoding",
}  # fmt: skip
STATE = {"state_topic", "value_template", "expire_after", "force_update"}
PLATFORMS = {
    "sensor": COMMON | STATE | {"unit_of_measurement", "state_class", "options", "suggested_display_precision"},
    "binary_sensor": COMMON | STATE | {"payload_on", "payload_off", "off_delay"},
    "image": COMMON | {"image_topic", "url_topic", "url_template", "content_type", "image_encoding"},
}
REQUIRED = {"sensor": {"state_topic"}, "binary_sensor": {"state_topic"}, "image": {"image_topic"}}
BINARY_CLASSES = {"problem", "connectivity"}
DEVICE_KEYS = {"identifiers", "name", "manufacturer", "model", "sw_version", "hw_version", "configuration_url"}
ROOT_KEYS = {
    "device", "origin", "components", "availability", "payload_available", "payload_not_available", "qos", "encoding",
}  # fmt: skip


def test_the_topic_is_one_that_home_assistant_listens_to() -> None:
    assert re.fullmatch(r"homeassistant/device/[a-zA-Z0-9_-]+/config", LINE.discovery("homeassistant"))


def test_device_and_origin_are_complete() -> None:
    assert PAYLOAD.keys() <= ROOT_KEYS
    assert PAYLOAD["device"].keys() <= DEVICE_KEYS
    assert PAYLOAD["device"]["identifiers"]
    assert PAYLOAD["origin"]["name"]
    assert PAYLOAD["availability"] == [
        {"topic": "cw/1/plant-1/oven_2/status", "value_template": "{{ value_json.status }}"}
    ]


@pytest.mark.parametrize("key", list(PAYLOAD["components"]))
def test_each_component_keeps_the_rules_of_its_platform(key: str) -> None:
    component = PAYLOAD["components"][key]
    platform = component["platform"]
    assert component.keys() <= PLATFORMS[platform]
    assert component.keys() >= REQUIRED[platform] | {"unique_id", "name"}
    for name, value in component.items():
        if name.endswith("_topic"):
            assert not set(value) & set("+#\0")
    if platform == "sensor":
        if component.get("device_class") == "enum":
            assert component["options"]
            assert not component.keys() & {"unit_of_measurement", "state_class"}
        else:
            assert "options" not in component
            assert component["state_class"] in ("measurement", "total", "total_increasing")
    elif platform == "binary_sensor":
        assert component["device_class"] in BINARY_CLASSES
    assert component.get("entity_category") in (None, "diagnostic", "config")


def test_unique_ids_are_unique() -> None:
    ids = [component["unique_id"] for component in PAYLOAD["components"].values()]
    assert len(set(ids)) == len(ids)


def test_all_that_users_ask_for_is_there() -> None:
    wanted = {"verdict", "confidence", "escalation_rate", "backlog", "cloud_link", "last_image"}
    assert wanted <= PAYLOAD["components"].keys()
    assert PAYLOAD["components"]["verdict"]["options"] == list(TASK.labels)
    assert len(json.dumps(PAYLOAD)) < 8_000


@pytest.mark.parametrize("key", [k for k, c in PAYLOAD["components"].items() if "value_template" in c])
def test_templates_name_fields_that_the_state_topics_have(key: str) -> None:
    component = PAYLOAD["components"][key]
    edge = Classification("raw", (0,), 0.5, True, "", 1.0, "emulated")
    cloud = BakeVerdict("raw", 0.5, False, "")
    messages = {
        LINE.verdict("belt"): LineVerdict("0" * 32, "b", "raw", 0.5, "edge", "final", "", 0, 0, True, edge, cloud),
        LINE.stats: GatewayStats(1, 1, 0, 0, 0, 0, 0.0, True),
    }
    fields = json.loads(encode(messages[component["state_topic"]]))
    names = re.findall(r"value_json\.(\w+)", component["value_template"])
    assert names
    assert set(names) <= fields.keys()
