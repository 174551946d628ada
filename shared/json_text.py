"""What msgspec's JSON decoder raises on text from outside, in one place: its own errors are not all of it."""

from __future__ import annotations

import msgspec

NOT_JSON = (
    msgspec.MsgspecError,
    UnicodeDecodeError,  # a string that is not UTF-8; found by fuzzing
    RecursionError,  # brackets without end
)
