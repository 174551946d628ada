"""Hardware-aware search: many networks priced by the compiler's cycle model, some of them trained, the best chosen.

Networks are drawn by seed and compiled untrained, with the run's levers, so each has a price before it is trained:
cycles depend on shapes and zeros, hardly on what the weights are. The task's own network is trained, and of each of
some equal classes of price the network with the most multiply-accumulates, as MCUNet prefers them (Lin et al. 2020,
arXiv:2007.10319). Frontier and choice go by the held-out part; the test part is only reported.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import torch

from edge.learning.calibration import calibrate
from edge.learning.cost import predicted_ms
from edge.learning.evaluation import integer_logits
from edge.learning.folding import fold
from edge.learning.grid import Grid
from edge.learning.lever_table import LeverRow, trained_row
from edge.learning.model_folder import read_model
from edge.learning.network import SHAPES, EdgeNetwork, topology_of
from edge.learning.parts import Parts
from edge.learning.pipeline import Reporter
from edge.learning.rounded import RoundedNetwork, to_integers
from edge.learning.settings import Settings
from edge.learning.tflite_writer import write_tflite
from firmware_sim.compiler.tflite_reader import read_graph
from shared.errors import BadInputError
from shared.intervals import Share, wilson
from shared.task import Task

STEMS = (4, 6, 8, 12)
STAGES = (  # blocks at a half, a quarter and an eighth of the input's side; the first of a later stage halves it
    ((), (6,), (8,)),
    ((12,), (16,), (24,), (12, 12), (16, 16)),
    ((24,), (32,), (24, 24), (32, 32), (48,), (24, 24, 24), (32, 48)),
)
NOISE_FRAMES = 4  # that set the ranges of an untrained network


class Candidate(msgspec.Struct, frozen=True):
    """A network and its price."""

    shape: str
    macs: int
    predicted_ms: float  # one core
    predicted_ms_two_cores: float


class Trained(msgspec.Struct, frozen=True):
    """A candidate after training: its frontier counts by held-out accuracy."""

    candidate: Candidate
    held_out_accuracy: Share
    row: LeverRow  # emulated milliseconds, and the test part


class Search(msgspec.Struct, frozen=True):
    """What was priced, trained and chosen."""

    limit_ms: float
    priced: tuple[Candidate, ...]
    trained: tuple[Trained, ...]
    frontier: tuple[str, ...]  # shapes, from quick to slow
    chosen: str | None  # the most accurate one within the limit, on the held-out part


@dataclass(frozen=True, slots=True)
class Plan:
    """How far a search goes. Raises BadInputError for one without networks or milliseconds."""

    sample: int  # networks to price
    train: int  # of them to train
    limit_ms: float  # emulated, one core
    seed: int

    def __post_init__(self) -> None:
        if not 1 <= self.train <= self.sample:
            raise BadInputError(
                f"{self.sample} networks to price and {self.train} to train: at least 1, and no more than are priced"
            )
        if not self.limit_ms > 0:
            raise BadInputError(f"{self.limit_ms:g} ms is no limit: more than 0")


def space() -> list[str]:
    """All shapes that the search may draw."""
    shapes = []
    for stem, *stages in itertools.product(STEMS, *STAGES):
        blocks = list(map(str, stages[0]))
        for stage in stages[1:]:
            blocks += [f"{stage[0]}/2", *map(str, stage[1:])]
        shapes.append(",".join([str(stem), *blocks]))
    return shapes


def price(shape: str, settings: Settings, task: Task) -> Candidate:
    """The cycles of a network before it is trained. Raises BadInputError for one that does not fit the chip."""
    torch.manual_seed(settings.seed)
    folded = fold(EdgeNetwork(topology_of(shape, len(task.labels), task.input.size_px)).eval())
    side = task.input.size_px
    noise = torch.rand(NOISE_FRAMES, 3, side, side, generator=torch.Generator().manual_seed(settings.seed))
    input_grid = Grid(float(np.float32(task.input.scale)), task.input.zero_point)
    network = RoundedNetwork(folded, calibrate(folded, noise, settings.seed), input_grid, settings.levers)
    network.prune(settings.pair_zeros)
    graph = read_graph(write_tflite(to_integers(network, shape)))
    one, two = (round(predicted_ms(graph, cores), 3) for cores in (1, 2))
    return Candidate(shape, graph.macs(), one, two)


def search(
    plan: Plan,
    settings: Settings,
    task: Task,
    parts: Parts,
    out: Path,
    *,
    reporter: Reporter,
    after_training: Callable[[Search], None] = lambda so_far: None,
) -> Search:
    """Price, train into `out`/<shape>, choose. A second call goes on where the first was interrupted.

    `after_training` gets what is found so far, each time another network is trained.

    Raises BadInputError when no network fits the chip and for a folder of other settings.
    """
    _ = settings.levers  # wrong ones raise here: below, what cannot be compiled is passed over
    priced = _priced(plan, settings, task, reporter)
    if not priced:
        raise BadInputError(f"none of {plan.sample} networks fits the chip with these settings")
    trained = []
    for candidate in _to_train(priced, settings.shape, plan.train):
        folder = out / candidate.shape.replace("/2", "s").replace(",", "-")
        changed = settings_of(candidate.shape, settings)
        row = trained_row(candidate.shape, changed, task, parts, folder, folder / "checkpoints", reporter)
        logits = integer_logits(read_model(folder).graph, parts.held_out.key_frames)
        correct = int((logits.argmax(axis=1) == parts.held_out.labels).sum())
        trained.append(Trained(candidate, wilson(correct, len(parts.held_out.labels)), row))
        after_training(_found(plan.limit_ms, priced, trained))
    return _found(plan.limit_ms, priced, trained)


def settings_of(shape: str, settings: Settings) -> Settings:
    """Those to train a network of the search with: only the task's own shape may begin with pretrained weights."""
    if shape == settings.shape or settings.start == "none":
        return replace(settings, shape=shape)
    return replace(settings, shape=shape, start="none", learning_rate=Settings().learning_rate)


def _found(limit_ms: float, priced: Sequence[Candidate], trained: Sequence[Trained]) -> Search:
    best = frontier(trained)
    within = [one for one in best if one.row.ms <= limit_ms]
    return Search(
        limit_ms=limit_ms,
        priced=tuple(priced),
        trained=tuple(trained),
        frontier=tuple(one.candidate.shape for one in best),
        chosen=within[-1].candidate.shape if within else None,
    )


def frontier(trained: Sequence[Trained]) -> list[Trained]:
    """Those that no other beats in both milliseconds and held-out accuracy, from quick to slow."""
    best: list[Trained] = []
    for one in sorted(trained, key=lambda one: (one.row.ms, -one.held_out_accuracy.share)):
        if not best or one.held_out_accuracy.share > best[-1].held_out_accuracy.share:
            best.append(one)
    return best


def _priced(plan: Plan, settings: Settings, task: Task, reporter: Reporter) -> list[Candidate]:
    """A draw of networks by seed, the task's own among them, from quick to slow."""
    shapes = [shape for shape in space() if shape != SHAPES.get(settings.shape, settings.shape)]
    rng = np.random.default_rng(plan.seed)
    drawn = [shapes[i] for i in rng.permutation(len(shapes))[: plan.sample - 1]]
    done = reporter.stage("pricing networks", len(drawn) + 1)
    found = []
    for shape in (settings.shape, *drawn):
        with contextlib.suppress(BadInputError):  # too large for the chip
            found.append(price(shape, settings, task))
        done(1)
    return sorted(found, key=lambda candidate: candidate.predicted_ms)


def _to_train(priced: Sequence[Candidate], own: str, count: int) -> list[Candidate]:
    """The task's own network, and of each of `count` - 1 classes of equal size by price that with the most MACs."""
    chosen = [candidate for candidate in priced if candidate.shape == own][:count]
    others = [candidate for candidate in priced if candidate.shape != own]
    left = min(count - len(chosen), len(others))
    classes = np.array_split(np.arange(len(others)), left) if left else []
    chosen += [max((others[i] for i in members), key=lambda candidate: candidate.macs) for members in classes]
    return sorted(chosen, key=lambda candidate: candidate.predicted_ms)
