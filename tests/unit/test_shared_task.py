"""Task files: the shipped one loads, broken ones are refused with one line."""

from __future__ import annotations

from importlib import resources

import pytest

from shared.errors import BadInputError
from shared.task import load_task, parse_task

PIZZA = resources.files("shared.tasks").joinpath("pizza.toml").read_text(encoding="utf-8")


def test_the_default_task_has_the_five_doneness_labels() -> None:
    task = load_task("pizza")
    assert task.labels == ("raw", "underbaked", "golden", "dark", "burnt")
    assert set(task.critical) == {"raw", "burnt"}
    assert task.index("dark") == 3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('critical = ["raw", "burnt"]', 'critical = ["scorched"]', "unknown labels: scorched"),
        ("size_px = 48", "size_px = 4096", "size_px must be 8 to 224"),
        ("size_px = 48", 'size_px = "48"', "not a task file"),
        ("deadline_s = 30.0", "deadline_s = 0.0", "deadline_s"),
        ('name = "pizza"', "name = ", "not a task file"),
        ('title = "Pizza doneness"', 'titel = "Pizza doneness"', "not a task file"),
    ],
)
def test_a_broken_task_file_is_refused_by_name(old: str, new: str, said: str) -> None:
    assert old in PIZZA
    with pytest.raises(BadInputError, match=said) as caught:
        parse_task(PIZZA.replace(old, new), "line.toml")
    assert str(caught.value).startswith("line.toml: ")
    assert "\n" not in str(caught.value).split(": not a task file: ")[0]


def test_an_unknown_task_names_those_there_are() -> None:
    with pytest.raises(BadInputError, match="one of elpv, pizza"):
        load_task("calzone")


def test_a_missing_file_is_bad_input() -> None:
    with pytest.raises(BadInputError, match="cannot be read"):
        load_task("nowhere/line.toml")


def test_an_unknown_label_is_bad_input() -> None:
    with pytest.raises(BadInputError, match="no label 'crispy'"):
        load_task("pizza").index("crispy")
