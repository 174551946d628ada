"""gate.json: what is written reads back, and what does not fit together is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.gate.gate_file import FittedOn, GateFile, load_gate, save_gate
from edge.gate.integer import exponential_table
from shared.errors import BadInputError

FITTED = FittedOn("rendered", 2000, 1500, 0.03, 0.028, 0.35)
GATE = GateFile(1.2, 0.08, exponential_table(0.08, 1.2), (26_000,) * 5, FITTED)


def test_a_gate_reads_back_as_it_was(tmp_path: Path) -> None:
    save_gate(GATE, tmp_path / "gate.json")
    assert load_gate(tmp_path / "gate.json", labels=5) == GATE
    assert set(json.loads((tmp_path / "gate.json").read_text())) == {
        "temperature",
        "logit_scale",
        "lut",
        "tau_q15",
        "fitted_on",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": 1.3}, "does not follow"),
        ({"temperature": 0.0}, "over 0"),
        ({"lut": [32768] * 12}, "256 entries"),
        ({"tau_q15": [40_000] * 5}, "threshold is 0 to 32768"),
        ({"tau_q15": [1, 2]}, "2 thresholds for 5"),
        ({"lut": "none"}, "not a gate file"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_gate_that_does_not_fit_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "gate.json"
    save_gate(GATE, path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadInputError, match=message):
        load_gate(path, labels=5)


def test_a_missing_or_damaged_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"gate\.json: cannot be read"):
        load_gate(tmp_path / "gate.json")
    (tmp_path / "gate.json").write_bytes(b"\xff{")
    with pytest.raises(BadInputError, match="not a gate file"):
        load_gate(tmp_path / "gate.json")
    (tmp_path / "gate.json").write_bytes(b" " * 70_000)
    with pytest.raises(BadInputError, match="at most"):
        load_gate(tmp_path / "gate.json")
