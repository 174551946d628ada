"""What the tables of a store hold, one struct a row. Parquet knows them by the same names."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Word = Literal["cloud", "person"]


class BakeRow(msgspec.Struct, frozen=True):
    """A bake that was escalated, or that a limit kept from it although the edge was unsure."""

    id: str  # 32 hex digits
    task: str
    site: str
    gateway: str
    camera: str
    bake: str  # name of the item at its source: bakes of one name are one group in a split
    captured_us: int  # microseconds since the Unix epoch
    decision: str  # unsure, audit, policy, withdrawn: why it was escalated
    share: float  # probability with which a bake like this one is stored: 1, or the audit's share of a sure one
    sure_share: float  # the same of the sure bakes of that time, 0 when none was audited
    model_sha256: str  # of the model that decided
    label: str  # the edge's
    probability: float
    sure: bool  # what the gate said, before audit and watch
    logits: list[int]  # int8, one a label
    clip_sha256: str
    frames: int  # JPEG files of the clip
    key: int  # the frame that was classified
    frame_bytes: int  # of all of them
    seen: bytes  # what the classifier saw, uint8 [S, S, 3]: exact, unlike the JPEG


class LabelRow(msgspec.Struct, frozen=True):
    """What the cloud or a person said of a bake. Of the cloud's words the first counts, of people's the last."""

    id: str
    by: Word
    label: str | None  # None: the cloud cannot tell
    confidence: float  # 1 of a person
    who: str  # worker or reviewer
    weights_sha256: str  # of the cloud's model; empty of a person
    at_us: int


class ShadowRow(msgspec.Struct, frozen=True):
    """A bake that champion and challenger both judged; the fields of `edge.shadow`'s record."""

    id: str
    bake: str
    at_s: float
    champion_model: str
    challenger_model: str
    champion_label: str
    champion_decision: str
    challenger_label: str
    challenger_decision: str
    challenger_probability: float
    cloud_label: str | None


def arrow_schema(kind: type[msgspec.Struct]) -> Any:
    """The Arrow schema of a row. Raises MissingPartError without pyarrow."""
    from edge.loop.row_log import arrow

    pa = arrow()
    types = {
        "str": pa.string(),
        "str | None": pa.string(),
        "Word": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "bytes": pa.binary(),
        "list[int]": pa.list_(pa.int8()),
    }
    return pa.schema([(name, types[str(kind.__annotations__[name])]) for name in kind.__struct_fields__])
