"""What the model should write for a bake, and how wrong its neighbours are.

Ordinal answers (percentages, millimetres, hours, doneness) get soft targets: values next to the truth are nearly
right, and saying so lets few clips teach many values. The softness lies far within what the answer is used for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from cloud.answer import BLISTER_MAX_MM, CRUST_MAX_MM, EVENNESS_STEP, Answer
from cloud.spatial_mllm.tokenizer import IM_END, token_id
from cloud.training.records import PLACES, Record
from cloud.vocabulary import FRAGMENTS
from shared.bakery.truth import DONENESS_EDGES, BakeTruth
from shared.messages import CharPlace
from shared.task import Task

ANSWER_TOKENS = 16  # 8 fragments, 7 values, end mark
VALUE_POSITIONS = (1, 3, 5, 7, 9, 11, 13)  # of the values among the answer's tokens, in the order of Answer
FIELD_WEIGHTS = (4.0, 1.0, 1.0, 1.5, 0.5, 0.5, 0.3)  # doneness is what escalations are decided on
FRAGMENT_WEIGHT = 0.05  # fragments never vary: learnt at once

DONENESS_SIGMA = 0.02  # of the bake index; labels keep 0.03 from an edge
BURNT_SIGMA = (0.7, 0.06)  # percent: constant, and share of the value
HOUR_SIGMA = 0.5  # hours, on the circle
EVENNESS_SIGMA = 3.0  # percent
CRUST_SIGMA = 0.8  # millimetres
BLISTER_SIGMA = 0.6  # millimetres


def answer_for(record: Record, task: Task) -> Answer:
    """The answer that `record` [] deserves."""
    return _answer(
        task.labels[int(record["doneness"])],
        float(record["burnt_fraction"]),
        PLACES[int(record["char"])],
        int(record["hour"]) or None,
        float(record["evenness"]),
        float(record["crust_mm"]),
        float(record["blister_mm"]),
    )


def answer_of(truth: BakeTruth) -> Answer:
    """The answer that a rendered bake deserves."""
    return _answer(
        truth.doneness,
        truth.burnt_fraction,
        truth.char_where,
        truth.char_sector,
        truth.evenness,
        truth.crust_height_mm,
        truth.blister_height_mm,
    )


def _answer(
    doneness: str,
    burnt_fraction: float,
    char: CharPlace,
    hour: int | None,
    evenness: float,
    crust_mm: float,
    blister_mm: float,
) -> Answer:
    return Answer(
        doneness=doneness,
        burnt_percent=_whole(100 * burnt_fraction, 100),
        char=char,
        hour=hour,
        evenness_percent=EVENNESS_STEP * _whole(100 / EVENNESS_STEP * evenness, 100 // EVENNESS_STEP),
        crust_mm=_whole(crust_mm, CRUST_MAX_MM),
        blister_mm=_whole(blister_mm, BLISTER_MAX_MM),
    )


def _whole(value: float, most: int) -> int:
    return int(np.clip(np.rint(value), 0, most))


class TargetTable:
    """Turns records into target distributions over the vocabulary."""

    def __init__(self, tokenizer: Tokenizer, task: Task) -> None:
        self.task = task
        self.vocabulary = tokenizer.get_vocab_size()
        self._fragments = [token_id(tokenizer, fragment) for fragment in FRAGMENTS]
        self._end = token_id(tokenizer, IM_END)
        self._labels = [token_id(tokenizer, label) for label in task.labels]
        self._places = [token_id(tokenizer, place) for place in PLACES]
        self._null = token_id(tokenizer, "null")
        self._numbers = np.array([token_id(tokenizer, str(n)) for n in range(101)])  # [101]
        weights = np.full(ANSWER_TOKENS, FRAGMENT_WEIGHT, np.float32)
        weights[list(VALUE_POSITIONS)] = FIELD_WEIGHTS
        self.weights = weights  # float32 [16]

    def ids(self, records: Record) -> NDArray[np.int64]:
        """Token ids of the answers to `records` [B]: int64 [B, 16], the end mark last."""
        return np.asarray(self.distributions(records).argmax(axis=-1))  # the truth is the peak of each distribution

    def distributions(self, records: Record) -> NDArray[np.float32]:
        """Target distributions for `records` [B]: float32 [B, 16, V], each row adding up to 1."""
        target = np.zeros((len(records), ANSWER_TOKENS, self.vocabulary), np.float32)
        fixed = [position for position in range(ANSWER_TOKENS - 1) if position not in VALUE_POSITIONS]
        for position, token in zip(fixed, self._fragments, strict=True):
            target[:, position, token] = 1
        target[:, -1, self._end] = 1
        for row, record in enumerate(records):
            answer = answer_for(record, self.task)
            spread = target[row]  # [16, V]
            spread[1, self._labels] = doneness_shares(
                float(record["bake_index"]), int(record["doneness"]), len(self._labels)
            )
            burnt = 100 * float(record["burnt_fraction"])
            percents = np.arange(0 if answer.char == "none" else 1, 101)  # "0" before char would say that there is none
            self._bell(spread[3], percents, answer.burnt_percent, burnt, BURNT_SIGMA[0] + BURNT_SIGMA[1] * burnt)
            spread[5, self._places[int(record["char"])]] = 1
            if answer.hour is None:
                spread[7, self._null] = 1
            else:
                hours = np.arange(1, 13)  # [12]
                apart = np.abs((hours - _hour(record, answer.hour) + 6) % 12 - 6)  # [12]
                bell = np.exp(-0.5 * (apart / HOUR_SIGMA) ** 2)  # [12]
                spread[7, self._numbers[hours]] = bell / bell.sum()
            steps = np.arange(0, 101, EVENNESS_STEP)
            self._bell(spread[9], steps, answer.evenness_percent, 100 * float(record["evenness"]), EVENNESS_SIGMA)
            crust, blister = float(record["crust_mm"]), float(record["blister_mm"])
            self._bell(spread[11], np.arange(CRUST_MAX_MM + 1), answer.crust_mm, crust, CRUST_SIGMA)
            self._bell(spread[13], np.arange(BLISTER_MAX_MM + 1), answer.blister_mm, blister, BLISTER_SIGMA)
        return target

    def _bell(self, row: NDArray[np.float32], values: NDArray[np.int64], peak: int, truth: float, sigma: float) -> None:
        """Write a normal bell around `truth` over the numbers `values` into `row` [V]; its largest entry is `peak`."""
        bell = np.exp(-0.5 * ((values - truth) / sigma) ** 2)  # [n]
        bell[values == peak] = max(float(bell.max()) * 1.001, 1e-6)  # ties and values beyond the scale
        row[self._numbers[values]] = bell / bell.sum()


def _hour(record: Record, sector: int) -> float:
    """The char's direction in hours, as fine as it is known, within the hour `sector` of the answer."""
    sine, cosine = char_direction(record["char_by_hour"][None])[0]
    hour = float(np.arctan2(sine, cosine)) * 6 / np.pi
    return sector + float(np.clip((hour - sector + 6) % 12 - 6, -0.45, 0.45))


def doneness_shares(bake_index: float, label: int, labels: int) -> NDArray[np.float32]:
    """Probability of each label [labels] for a bake index known up to DONENESS_SIGMA."""
    edges = np.array([-np.inf, *DONENESS_EDGES, np.inf])  # [6]
    below = 1 / (1 + np.exp(-1.702 * (edges - bake_index) / DONENESS_SIGMA))  # [6], logistic for the normal
    shares = np.diff(below)  # [5]
    if len(shares) != labels or int(shares.argmax()) != label:  # labels that are not the fifths of the bake index
        shares = np.eye(labels)[label]
    return np.asarray(shares, np.float32)


def char_direction(char_by_hour: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where char [B, 12] lies towards from the item's centroid: float32 [B, 2], sine and cosine of the angle clockwise
    from 12 o'clock times the share of the char that has this one direction; zeros without char.
    """
    angles = 2 * np.pi * np.arange(1, 13) / 12  # [12]
    vectors = char_by_hour @ np.stack((np.sin(angles), np.cos(angles)), axis=1)  # [B, 2]
    return np.asarray(vectors / np.maximum(char_by_hour.sum(1, keepdims=True), 1e-6), np.float32)


def bake_histogram(bake_index: NDArray[np.float32], bins: int, sigma: float) -> NDArray[np.float32]:
    """Smoothed histogram target of a scalar in 0..1 (HL-Gauss, Imani & White 2018, arXiv 1806.04613): [B, bins]."""
    centres = (np.arange(bins) + 0.5) / bins  # [bins]
    bell = np.exp(-0.5 * ((centres - bake_index[:, None]) / sigma) ** 2)  # [B, bins]
    return np.asarray(bell / bell.sum(axis=1, keepdims=True), np.float32)
