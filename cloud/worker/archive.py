"""The worker's archive: every decision with the messages that prove it, and the clips while they are kept.

```
clips/<sha256>.clip              what was judged; expires by age and size
decisions/<id>-<attempt>.json    request and answer with their properties and seals; expires by age alone
```
With both, a decision can be computed again (`crustwatch cloud replay`); without the clip it can still be proven.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from shared.atomic_file import replace_file
from shared.errors import BadInputError
from shared.json_text import NOT_JSON
from shared.mqtt import Properties
from shared.retention import DAY_S, Limits, Purged, purge

MAX_RECORD_BYTES = 262_144
CLIP, RECORD = ".clip", ".json"
_ID = re.compile(r"[0-9a-f]{32}")


class Sent(msgspec.Struct, frozen=True):
    """One message as it was on the wire, without a request's clip."""

    topic: str
    properties: Properties
    sha256: str  # of the payload
    payload: str = ""  # of an answer: JSON


class Decision(msgspec.Struct, frozen=True):
    """One request and its answer. `decided_us` is microseconds since the Unix epoch, by the worker's clock."""

    decided_us: int
    request: Sent
    answer: Sent


class Archive:
    """A folder of decisions. Several workers may share one."""

    def __init__(self, folder: Path, limits: Limits, record_days: float = 365.0) -> None:
        """Raises BadInputError when the folder cannot be made."""
        self.folder = folder
        self._limits = limits
        self._record_limits = Limits(record_days * DAY_S)
        try:
            for name in ("clips", "decisions"):
                (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise BadInputError(f"{folder}: cannot be written: {error.strerror}") from None

    def keep(self, clip: bytes, decision: Decision) -> None:
        """Write one decision. Raises OSError: the answer is worth more than its record, and the caller goes on."""
        path = self.clip_path(decision.request.sha256)
        if path.exists():
            os.utime(path)  # used again
        else:
            replace_file(path, clip, 0o600, racing=True)
        properties = decision.answer.properties
        name = f"{(properties.correlation or b'').hex()}-{int(properties.user.get('attempt', '0'))}{RECORD}"
        replace_file(self.folder / "decisions" / name, msgspec.json.encode(decision), 0o600, racing=True)

    def purge(self, now_s: float) -> Purged:
        """Delete what has expired; returns the clips' figures."""
        purge(self.folder / "decisions", (RECORD,), self._record_limits, now_s)
        return purge(self.folder / "clips", (CLIP,), self._limits, now_s)

    def clip_path(self, sha256: str) -> Path:
        """Where the clip with this digest is kept."""
        return self.folder / "clips" / f"{sha256}{CLIP}"


def read_decisions(folder: Path, bake_id: str) -> list[Decision]:
    """All attempts of a bake, in order. Raises BadInputError when there is none or one cannot be read."""
    if not _ID.fullmatch(bake_id):
        raise BadInputError(f"the id of a bake is 32 hexadecimal digits as in its verdict, not {bake_id[:60]!r}")
    paths = list((folder / "decisions").glob(f"{bake_id}-*{RECORD}"))
    if not paths:
        raise BadInputError(f"{folder}: no decision on bake {bake_id} is kept here")
    return sorted(map(_read_decision, paths), key=lambda decision: decision.decided_us)


def _read_decision(path: Path) -> Decision:
    try:
        with path.open("rb") as file:
            text = file.read(MAX_RECORD_BYTES + 1)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    if len(text) > MAX_RECORD_BYTES:
        raise BadInputError(f"{path}: more than {MAX_RECORD_BYTES} bytes")
    return parse_decision(text, str(path))


def parse_decision(text: bytes, origin: str) -> Decision:
    """One record of the archive. Raises BadInputError when it is none."""
    try:
        return msgspec.json.decode(text, type=Decision)
    except NOT_JSON as error:
        raise BadInputError(f"{origin}: not a decision: {error}") from None
