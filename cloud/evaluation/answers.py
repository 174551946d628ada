"""Cleaning of model answers before scoring, as the Spatial-MLLM reference does it."""

import re


def clean_answer(text: str) -> str:
    """Content of the last `<answer>` element (or all of it), on one line, in lower case, without final full stops."""
    tagged = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    return " ".join((tagged[-1] if tagged else text).split()).rstrip(".").lower()


def first_word(text: str) -> str:
    """First word of an answer, without a final full stop: what the official VSI-Bench scorer compares."""
    return text.split(" ")[0].rstrip(".").strip()


def parse_number(text: str) -> float | None:
    """The number that a cleaned answer consists of, thousands commas allowed; None when it is anything else."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None
