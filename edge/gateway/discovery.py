"""Home Assistant device discovery: one retained message announces the line's sensors, without configuration.

https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload (2024.11 and later). Every component reads
the plain JSON of the state topics, so anything else that speaks MQTT sees the same.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shared import __version__
from shared.task import Task
from shared.topics import Line


def discovery_payload(line: Line, camera: str, task: Task, device: str) -> bytes:
    """The device with its components: verdict, who decided, confidence, problem, rate, backlog, link, picture."""
    verdict, stats = line.verdict(camera), line.stats
    components: dict[str, dict[str, Any]] = {
        "verdict": {
            "platform": "sensor",
            "name": "Verdict",
            "state_topic": verdict,
            "value_template": "{{ value_json.label }}",
            "device_class": "enum",
            "options": list(task.labels),
            "json_attributes_topic": verdict,
            "icon": "mdi:pizza",
        },
        "confidence": {
            "platform": "sensor",
            "name": "Confidence",
            "state_topic": verdict,
            "value_template": "{{ (value_json.confidence * 100) | round(1) }}",
            "unit_of_measurement": "%",
            "state_class": "measurement",
        },
        "source": {
            "platform": "sensor",
            "name": "Decided by",
            "state_topic": verdict,
            "value_template": "{{ value_json.source }}",
            "device_class": "enum",
            "options": ["edge", "cloud"],
        },
        "problem": {
            "platform": "binary_sensor",
            "name": "Reject",
            "state_topic": verdict,
            "value_template": "{{ 'ON' if value_json.problem else 'OFF' }}",
            "device_class": "problem",
        },
        "escalation_rate": {
            "platform": "sensor",
            "name": "Escalation rate",
            "state_topic": stats,
            "value_template": "{{ (value_json.escalation_rate * 100) | round(1) }}",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "entity_category": "diagnostic",
        },
        "backlog": {
            "platform": "sensor",
            "name": "Backlog",
            "state_topic": stats,
            "value_template": "{{ value_json.backlog }}",
            "unit_of_measurement": "bakes",
            "state_class": "measurement",
            "entity_category": "diagnostic",
        },
        "cloud_link": {
            "platform": "binary_sensor",
            "name": "Cloud link",
            "state_topic": stats,
            "value_template": "{{ 'ON' if value_json.cloud_link else 'OFF' }}",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
        },
        "trouble": {
            "platform": "binary_sensor",
            "name": "Trouble",
            "state_topic": stats,
            "value_template": "{{ 'ON' if value_json.problems else 'OFF' }}",
            "json_attributes_topic": stats,
            "device_class": "problem",
            "entity_category": "diagnostic",
        },
        "last_image": {
            "platform": "image",
            "name": "Last image",
            "image_topic": line.snapshot(camera),
            "content_type": "image/jpeg",
        },
    }
    for key, component in components.items():
        component["unique_id"] = f"{line.object_id}_{camera}_{key}"
    payload = {
        "device": {
            "identifiers": [line.object_id],
            "name": f"{task.title} {line.site}/{line.gateway}",
            "manufacturer": "crustwatch",
            "model": f"gateway, {device}",
            "sw_version": __version__,
        },
        "origin": {"name": "crustwatch", "sw_version": __version__},
        "availability": [{"topic": line.status, "value_template": "{{ value_json.status }}"}],
        "payload_available": "online",
        "payload_not_available": "offline",
        "qos": 1,
        "components": components,
    }
    return msgspec.json.encode(payload)
