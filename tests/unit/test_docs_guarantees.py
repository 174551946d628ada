"""The proofs that docs/guarantees.md names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_each_promise_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    named = set(re.findall(r"`(tests/\S+?\.py)::(\w+)`", text))
    assert len(named) > 20
    for file, test in named:
        source = (ROOT / file).read_text()
        assert re.search(rf"^(def {test}\(|{test} = )", source, re.MULTILINE), f"{file} has no {test}"
    sections = re.split(r"^### ", text, flags=re.MULTILINE)[1:]
    assert [section[0] for section in sections] == ["1", "2", "3", "4", "5"]
