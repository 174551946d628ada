"""The messages of crustwatch: classifications, verdicts and what gateways and workers say of themselves.

JSON on the wire (msgspec). Readers ignore unknown fields, so that a minor version may add some; the major version
is in the topic and the minor one in the MQTT property `schema`.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from shared.errors import BadInputError
from shared.json_text import NOT_JSON

SCHEMA = "1.0"  # the MQTT 5 user property `schema` of requests and responses

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Hour = Annotated[int, msgspec.Meta(ge=1, le=12)]
Degrees = Annotated[float, msgspec.Meta(ge=0.0, lt=360.0)]
CharPlace = Literal["none", "rim", "centre"]
Decision = Literal["sure", "unsure", "audit", "policy", "withdrawn"]
Timing = Literal["emulated", "measured"]
Source = Literal["edge", "cloud"]
State = Literal["provisional", "final", "correction"]


class Classification(msgspec.Struct, frozen=True):
    """What a device makes of one frame: its logits, the winning label and the gate's decision."""

    label: str
    logits: tuple[int, ...]  # int8, one a label of the task
    probability: Share  # of `label`, after temperature scaling, from the integer gate (Q15)
    sure: bool
    reason: str  # why the gate decided so, for people
    inference_ms: float
    timing: Timing  # emulated: cycles of the emulated chip at its clock; measured: wall time of a runtime or board
    cycles: int | None = None


class CharLocation(msgspec.Struct, frozen=True):
    """Where an item is charred. `hour` is the clock sector, 12 in the direction of belt travel."""

    where: CharPlace
    hour: Hour | None = None
    direction_deg: Degrees | None = None  # clockwise from belt travel, finer than `hour`; None where not told


class Relief(msgspec.Struct, frozen=True):
    """What the frames show of the third dimension, in millimetres."""

    crust_height_mm: float | None = None
    blister_height_mm: float | None = None


class Provenance(msgspec.Struct, frozen=True):
    """How a cloud verdict came about, enough to compute it again."""

    model: str
    weights_sha256: str
    prompt_sha256: str
    frames_used: tuple[int, ...]  # indices into the clip
    geometry: bool  # spatial encoder on
    attention: str  # attention backend in use
    device: str
    seconds: float
    clip_sha256: str = ""  # of the clip that was judged
    worker: str = ""
    engine: str = "full"  # full, int8, int4, no-geometry, features or light


class BakeVerdict(msgspec.Struct, frozen=True):
    """The structured answer to one escalation. With `cannot_tell` the other findings are absent."""

    doneness: str | None
    confidence: Share
    cannot_tell: bool
    rationale: str
    burnt_fraction: Share | None = None
    char: CharLocation | None = None
    evenness: Share | None = None
    relief: Relief | None = None
    provenance: Provenance | None = None


class Response(msgspec.Struct, frozen=True):
    """A worker's answer on `cw/1/rsp/...`: the verdict, and the id and attempt of the request it answers."""

    id: str  # 32 hex digits: the 16-byte CorrelationData of the request
    attempt: int
    worker: str
    verdict: BakeVerdict


class LineVerdict(msgspec.Struct, frozen=True):
    """The retained verdict of a camera, as dashboards and event readers see it."""

    id: str
    bake: str  # the name of the item at its source (file, clip, rendered bake)
    label: str
    confidence: Share
    source: Source
    state: State
    reason: str  # sure, unsure, audit, policy, timeout, budget, cannot_tell, late, ...
    captured_at: float  # seconds since the epoch
    decided_at: float
    problem: bool  # the label is one that the task rejects
    edge: Classification
    cloud: BakeVerdict | None = None
    certified: bool | None = None  # whether a valid certificate covers what the edge decides alone; None without one
    clip_sha256: str | None = None  # of the clip that the cloud was asked about


class ShadowStats(msgspec.Struct, frozen=True):
    """A challenger beside the champion: it sees the same frames and decides nothing. Counts are bakes."""

    challenger: str  # SHA-256 of its .tflite
    device: str  # what it runs on here: not the champion's chip
    bakes: int  # that both have seen
    agreed: int  # both name the same label
    would_escalate: int  # that the challenger would have escalated, by its own thresholds
    champion_escalated: int  # of the same bakes
    resolved: int  # disagreements on which the cloud has spoken
    challenger_right: int  # of these
    champion_right: int
    passed_by: int = 0  # not seen by the challenger, which was behind or failed


class GatewayStats(msgspec.Struct, frozen=True):
    """The retained counters of a gateway since it started."""

    bakes: int
    finals: int
    escalated: int
    corrections: int
    timeouts: int
    backlog: int
    escalation_rate: Share
    cloud_link: bool
    last_cloud_s: float | None = None
    audited: int = 0  # sure bakes that were escalated to check on the edge
    over_budget: int = 0  # bakes that the edge decided although unsure, because a limit was reached
    unfamiliar: int = 0  # bakes escalated because their frame is unlike the calibration's
    certificate: str = "none"  # none, valid, expired or withdrawn
    alarms: tuple[str, ...] = ()  # why it was withdrawn, and what has drifted
    shed: int = 0  # bakes that the edge decided because the outbox was full of more valuable ones
    repeated: int = 0  # bakes that the source brought again, of a session that this outbox knows
    refused: int = 0  # messages that were not what they should be, forged answers among them
    held_bytes: int = 0  # that the clips that wait for the cloud take on the disk
    unpublished: int = 0  # verdicts that the broker has not acknowledged yet
    clock_jumps: int = 0  # times that the wall clock was set by more than a second
    problems: tuple[str, ...] = ()  # what is wrong now, one line each; empty when all is well
    withdrawn: int = 0  # sure bakes that were escalated because no certificate stands
    shadow: ShadowStats | None = None  # the challenger on trial


class GatewayStatus(msgspec.Struct, frozen=True):
    """Retained status of a gateway; `offline` is its last will."""

    status: Literal["online", "offline"]
    version: str
    device: str


class WorkerStatus(msgspec.Struct, frozen=True):
    """Retained status of a worker; `offline` is its last will."""

    status: Literal["online", "busy", "offline"]
    version: str
    model: str
    answered: int
    task: str = ""  # whose requests it takes; empty from workers that do not say


Message = TypeVar("Message", bound=msgspec.Struct)


def encode(message: msgspec.Struct) -> bytes:
    """`message` as compact JSON."""
    return msgspec.json.encode(message)


def decode(payload: bytes, kind: type[Message], origin: str, max_bytes: int = 65_536) -> Message:
    """Read a `kind` from JSON. Raises BadInputError naming `origin` when it is too long or not one."""
    if len(payload) > max_bytes:
        raise BadInputError(f"{origin}: {len(payload)} bytes, at most {max_bytes} are accepted")
    try:
        return msgspec.json.decode(payload, type=kind)
    except NOT_JSON as error:
        raise BadInputError(f"{origin}: not a {kind.__name__}: {error}") from None
