"""`gate.json`: the fitted gate of one model, beside its `.tflite`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from edge.gate.integer import GateTable, exponential_table
from shared.errors import BadInputError
from shared.json_text import NOT_JSON

MAX_BYTES = 65_536


class FittedOn(msgspec.Struct, frozen=True):
    """The held-out bakes behind a gate, and what it did on them."""

    data: str  # "rendered" or the name of a data set of photographs
    seed: int
    bakes: int
    target_selective_error: float
    selective_error: float  # wrong among the bakes that the edge answered alone
    escalation_rate: float


class GateFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of gate.json."""

    temperature: float
    logit_scale: float  # real value of one step of the int8 logits
    lut: tuple[int, ...]
    tau_q15: tuple[int, ...]
    fitted_on: FittedOn

    def table(self) -> GateTable:
        """The arithmetic of this gate."""
        return GateTable(self.lut, self.tau_q15)


def load_gate(path: Path, labels: int | None = None) -> GateFile:
    """Read and check gate.json; `labels` is the number of thresholds to expect. Raises as `parse_gate`."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    return parse_gate(text, str(path), labels)


def parse_gate(text: bytes, path: str, labels: int | None = None) -> GateFile:
    """The gate in the bytes of a file, whose `path` is for errors.

    Raises BadInputError for a file that is none, a table that does not follow from temperature and scale (by more than
    one step: exp may differ in its last bit between machines), or another number of thresholds.
    """
    if len(text) > MAX_BYTES:
        raise BadInputError(f"{path}: {len(text)} bytes; a gate file has at most {MAX_BYTES}")
    try:
        gate = msgspec.json.decode(text, type=GateFile)
    except NOT_JSON as error:
        raise BadInputError(f"{path}: not a gate file: {error}") from None
    if not (0 < gate.temperature < 1e3 and 0 < gate.logit_scale < 1e3):
        raise BadInputError(f"{path}: temperature and logit_scale must be over 0 and below 1000")
    try:
        gate.table()
    except BadInputError as error:
        raise BadInputError(f"{path}: {error}") from None
    expected = exponential_table(gate.logit_scale, gate.temperature)
    if any(abs(entry - want) > 1 for entry, want in zip(gate.lut, expected, strict=True)):
        raise BadInputError(f"{path}: the table does not follow from temperature {gate.temperature} and logit_scale")
    if labels is not None and len(gate.tau_q15) != labels:
        raise BadInputError(f"{path}: {len(gate.tau_q15)} thresholds for {labels} labels")
    return gate


def save_gate(gate: GateFile, path: Path) -> None:
    """Write `gate` as JSON, one key a line."""
    fields = msgspec.to_builtins(gate)
    lines = [f" {msgspec.json.encode(key).decode()}: {msgspec.json.encode(fields[key]).decode()}" for key in fields]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
