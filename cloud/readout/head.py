"""The head: tokens of a clip to the seven fields of an answer. Some 80,000 parameters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cloud.answer import BLISTER_MAX_MM, CRUST_MAX_MM, EVENNESS_STEP, Answer, Findings
from cloud.training.records import PLACES
from shared.errors import BadInputError, MissingPartError
from shared.task import Task

INNER = 96
POOLS = 8
COORDINATES = 4
SCALARS = ("burnt", "evenness", "crust", "blister")  # each 0..1: of 1, of 1, of CRUST_MAX_MM, of BLISTER_MAX_MM


@dataclass(frozen=True)
class Readings:
    """What the head says of B clips.

    Attributes:
        doneness: logits [B, labels].
        place: logits [B, 3], in the order of PLACES.
        direction: [B, 2] sine and cosine of the char's direction, clockwise from 12 o'clock, unnormalised.
        known: [B] logit that the char has one direction.
        scalars: [B, 4] in 0..1, in the order of SCALARS.
    """

    doneness: Tensor
    place: Tensor
    direction: Tensor
    known: Tensor
    scalars: Tensor


class Head(nn.Module):
    """Reads coordinates off the tokens, centres them on what it takes for the item, and pools by attention."""

    def __init__(self, width: int, labels: int) -> None:
        super().__init__()
        self.width, self.labels = width, labels
        self.mean = nn.Buffer(torch.zeros(width))  # [width] of the tokens
        self.scale = nn.Buffer(torch.ones(width))  # [width] one over their spread
        self.inner = nn.Linear(width, INNER)
        self.cover = nn.Linear(INNER, 1)
        self.place_of = nn.Linear(INNER, COORDINATES)
        self.centred = nn.Linear(INNER + COORDINATES, INNER)
        self.scores = nn.Linear(INNER, POOLS)
        self.values = nn.Linear(INNER, POOLS * 16)
        self.mixed = nn.Linear(POOLS * 16 + INNER, INNER)
        self.out = nn.Linear(INNER, labels + len(PLACES) + 3 + len(SCALARS))

    def forward(self, tokens: Tensor) -> Readings:
        """Read [B, N, width]."""
        x = (tokens - self.mean) * self.scale  # [B, N, width]
        inner = F.gelu(self.inner(x))  # [B, N, INNER]
        cover = torch.sigmoid(self.cover(inner))  # [B, N, 1]
        share = cover / cover.sum(1, keepdim=True).clamp_min(1e-3)  # [B, N, 1]
        at = self.place_of(inner)  # [B, N, COORDINATES]
        centre = (share * at).sum(1, keepdim=True)  # [B, 1, COORDINATES]
        seen = F.gelu(self.centred(torch.cat((inner, at - centre), dim=-1)))  # [B, N, INNER]
        weights = self.scores(seen).softmax(1)  # [B, N, POOLS]
        values = self.values(seen).unflatten(-1, (POOLS, 16))  # [B, N, POOLS, 16]
        pooled = torch.einsum("bnk,bnkv->bkv", weights, values).flatten(1)  # [B, POOLS*16]
        mean = (share * seen).sum(1)  # [B, INNER]
        said = self.out(F.gelu(self.mixed(torch.cat((pooled, mean), dim=-1))))  # [B, outputs]
        doneness, place, direction, known, scalars = said.split([self.labels, len(PLACES), 2, 1, len(SCALARS)], dim=-1)
        return Readings(doneness, place, direction, known[:, 0], torch.sigmoid(scalars))


def findings_of(readings: Readings, task: Task) -> list[Findings]:
    """What the readings say, in the form of a language model's answer."""
    confidence, label = readings.doneness.softmax(-1).max(-1)  # [B], [B]
    angle = torch.atan2(readings.direction[:, 0], readings.direction[:, 1])  # [B] radians, clockwise from 12
    hours = torch.round(angle / (2 * math.pi) * 12).long() % 12  # [B], 0 for 12
    burnt, evenness, crust, blister = readings.scalars.unbind(-1)  # [B] each
    found = []
    for row, place in enumerate(readings.place.argmax(-1).tolist()):
        where = PLACES[place]
        known = where != "none" and float(readings.known[row]) > 0
        answer = Answer(
            doneness=task.labels[int(label[row])],
            burnt_percent=round(100 * float(burnt[row])),
            char=where,
            hour=(int(hours[row]) or 12) if known else None,
            evenness_percent=EVENNESS_STEP * round(100 / EVENNESS_STEP * float(evenness[row])),
            crust_mm=round(CRUST_MAX_MM * float(crust[row])),
            blister_mm=round(BLISTER_MAX_MM * float(blister[row])),
        )
        direction = float(round(math.degrees(float(angle[row]))) % 360) if known else None
        found.append(Findings(answer, float(confidence[row]), direction))
    return found


def save_head(
    path: Path, head: Head, kind: str, encoder_sha256: str, labels: Sequence[str], card: Mapping[str, Any]
) -> None:
    """Write the head with what it belongs to."""
    about = {
        "kind": kind,
        "encoder_sha256": encoder_sha256,
        "labels": json.dumps(list(labels)),
        "width": str(head.width),
        "card": json.dumps(dict(card), sort_keys=True),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in head.state_dict().items()}, path, about)


def load_head(path: Path, kind: str, encoder_sha256: str, width: int) -> tuple[Head, tuple[str, ...]]:
    """Read a head for tokens of `width`, and the labels that it knows.

    Raises:
        MissingPartError: there is none, or it was trained on another encoder. BadInputError: it is damaged.
    """
    train = f"crustwatch cloud train --engine {kind}"
    if not path.is_file():
        raise MissingPartError(f"{path} does not exist: engine {kind} needs a head, made by `{train}`")
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except (SafetensorError, OSError) as error:
        raise BadInputError(f"{path}: not a head: {error}") from None
    if about.get("kind") != kind or about.get("width") != str(width):
        raise BadInputError(f"{path}: no head of engine {kind}: make one with `{train}`")
    if about.get("encoder_sha256") != encoder_sha256:
        raise MissingPartError(f"{path} was trained on another encoder's features: make one with `{train}`")
    try:
        labels = tuple(map(str, json.loads(about["labels"])))
        head = Head(width, len(labels))
        head.load_state_dict(state, strict=True)
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path}: not this head: {' '.join(str(error).split())}") from None
    return head.eval(), labels
