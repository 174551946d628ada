"""Every parser of bytes that come from outside, as a function that must return or raise BadInputError, and its seeds.

`tests/unit/test_fuzz_parsers.py` runs them under hypothesis, `campaign.py` under atheris (`make fuzz`). A target reads
its input in a form that lets mutations get past checksums: the first byte says how the rest is wrapped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import file_targets
import message_targets
import wire_targets

from shared.errors import BadInputError


@dataclass(frozen=True)
class Target:
    """One parser. `share` is its part of a campaign's executions; slow parsers get less.

    Inputs of at most `max_bytes`, about twice the longest seed: longer ones repeat what shorter ones reach, slowly.
    """

    name: str
    parse: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    share: float
    max_bytes: int


TARGETS = (
    Target("message", message_targets.message, message_targets.message_seeds, 0.11, 1024),
    Target("clip", wire_targets.clip, wire_targets.clip_seeds, 0.1, 1024),
    Target("uart", wire_targets.uart, wire_targets.uart_seeds, 0.1, 256),
    Target("request", message_targets.request, message_targets.request_seeds, 0.1, 512),
    Target("gate", file_targets.gate, file_targets.gate_seeds, 0.06, 2048),
    Target("certificate", file_targets.certificate, file_targets.certificate_seeds, 0.06, 1024),
    Target("decision", file_targets.decision, file_targets.decision_seeds, 0.06, 1024),
    Target("registry", file_targets.registry, file_targets.registry_seeds, 0.02, 1024),
    Target("answer", message_targets.answer, message_targets.answer_seeds, 0.06, 1024),
    Target("dashboard", message_targets.dashboard, message_targets.dashboard_seeds, 0.06, 1024),
    Target("seal", message_targets.seal, message_targets.seal_seeds, 0.05, 1024),
    Target("publish", wire_targets.publish, wire_targets.publish_seeds, 0.05, 256),
    Target("address", wire_targets.address, wire_targets.address_seeds, 0.03, 256),
    Target("debugger", wire_targets.debugger, wire_targets.debugger_seeds, 0.02, 1024),
    Target("words", message_targets.words, message_targets.word_seeds, 0.03, 256),
    Target("packet", wire_targets.packet, wire_targets.packet_seeds, 0.02, 512),
    Target("jpeg", wire_targets.jpeg, wire_targets.jpeg_seeds, 0.02, 1024),
    Target("pem", file_targets.pem, file_targets.pem_seeds, 0.02, 1024),
    Target("task", file_targets.task, file_targets.task_seeds, 0.02, 1024),
    Target("image", file_targets.image, file_targets.image_seeds, 0.006, 4096),
    Target("tflite", file_targets.tflite, file_targets.tflite_seeds, 0.004, 32768),
)
BY_NAME = {target.name: target for target in TARGETS}


def try_one(target: Target, data: bytes) -> None:
    """Parse `data`; BadInputError is the one error that a parser may raise."""
    with contextlib.suppress(BadInputError):
        target.parse(data)
