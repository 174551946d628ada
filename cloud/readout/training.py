"""Training of the heads: tokens of rendered clips are computed once, the head then goes over them many times."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cloud.answer import BLISTER_MAX_MM, CRUST_MAX_MM
from cloud.readout.head import Head, Readings
from cloud.readout.tokens import TokenSource
from cloud.training.batches import choose_frames, make_batch
from cloud.training.records import Record
from cloud.training.store import SHARD_CLIPS, ClipStore, Shard
from cloud.training.targets import char_direction, doneness_shares
from shared.bakery import FRAME_COUNT
from shared.intervals import Share, wilson

BATCH = 32
RATE, DECAY, WARMUP = 2e-3, 0.05, 50  # AdamW's rate and decay; steps of warm-up
SEEN = 2  # one in so many tokens of a clip is seen in a step: others in the next
FIELD_SCALES = (0.03, 0.1, 5 / CRUST_MAX_MM, 2 / BLISTER_MAX_MM)  # an error of this much counts one


@dataclass(frozen=True)
class Targets:
    """What is true of N clips."""

    doneness: Tensor  # [N, labels] shares
    label: Tensor  # int64 [N]
    place: Tensor  # int64 [N]
    direction: Tensor  # [N, 2], of unit length where known
    known: Tensor  # [N] 0 or 1
    scalars: Tensor  # [N, 4]

    @classmethod
    def of(cls, records: Record, labels: int) -> Targets:
        """Of records [N]."""
        shares = [
            doneness_shares(float(index), int(label), labels)
            for index, label in zip(records["bake_index"], records["doneness"], strict=True)
        ]
        direction = torch.from_numpy(char_direction(records["char_by_hour"]))  # [N, 2]
        scalars = np.stack(
            (
                records["burnt_fraction"],
                records["evenness"],
                records["crust_mm"] / CRUST_MAX_MM,
                records["blister_mm"] / BLISTER_MAX_MM,
            ),
            axis=1,
        )  # [N, 4]
        return cls(
            torch.from_numpy(np.stack(shares)),
            torch.from_numpy(records["doneness"].astype(np.int64)),
            torch.from_numpy(records["char"].astype(np.int64)),
            F.normalize(direction, dim=-1),
            torch.from_numpy((records["hour"] > 0).astype(np.float32)),
            torch.from_numpy(scalars.astype(np.float32).clip(0, 1)),
        )

    def rows(self, rows: Tensor) -> Targets:
        """Some of them."""
        return Targets(**{name: value[rows] for name, value in vars(self).items()})


@dataclass(frozen=True)
class Bank:
    """Tokens of clips, float16 [N, tokens, width], with what is true of them."""

    tokens: Tensor
    targets: Targets


@dataclass(frozen=True)
class HeadReport:
    """What a watcher is told."""

    step: int
    progress: float
    loss: float
    doneness: Share | None = None


def fill(source: TokenSource, store: ClipStore, there: Sequence[Shard], labels: int, seed: int | None) -> list[Bank]:
    """Banks of all clips of `there`; with `seed`, light errs as in training and some clips are stills."""
    whole: dict[int, list[tuple[Tensor, Targets]]] = {}
    for shard in there:
        records = np.array(store.open(shard))  # [SHARD_CLIPS]
        for first in range(0, SHARD_CLIPS, BATCH):
            part = records[first : first + BATCH]  # [BATCH]
            random = None if seed is None else np.random.default_rng((seed, shard.number, first))
            chosen = np.arange(FRAME_COUNT) if random is None else choose_frames(FRAME_COUNT, random)
            tokens = source.tokens(make_batch(part, chosen, random).frames).cpu().half()  # [BATCH, n, width]
            whole.setdefault(tokens.shape[1], []).append((tokens, Targets.of(part, labels)))
    return [
        Bank(
            torch.cat([tokens for tokens, _ in parts]),
            Targets(**{name: torch.cat([getattr(t, name) for _, t in parts]) for name in vars(parts[0][1])}),
        )
        for parts in whole.values()
    ]


def loss_of(said: Readings, true: Targets) -> Tensor:
    """Scalar loss of readings against targets."""
    doneness = -(true.doneness * said.doneness.log_softmax(-1)).sum(-1).mean()
    place = F.cross_entropy(said.place, true.place)
    unit = F.normalize(said.direction, dim=-1, eps=1e-3)  # [B, 2]
    apart = (true.known * (1 - (unit * true.direction).sum(-1))).sum() / true.known.sum().clamp_min(1)
    known = F.binary_cross_entropy_with_logits(said.known, true.known)
    scale = torch.tensor(FIELD_SCALES)
    scalars = F.smooth_l1_loss(said.scalars / scale, true.scalars / scale)
    return 2 * doneness + 0.5 * place + 2 * apart + 0.3 * known + scalars


def train_head(
    source: TokenSource,
    store: ClipStore,
    training: Sequence[Shard],
    validation: Sequence[Shard],
    labels: int,
    *,
    minutes: float,
    seed: int,
    watch: Callable[[HeadReport], None],
    steps: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Head, Share, int]:
    """A head for `source`, its doneness on `validation`, and the steps that it took.

    Args:
        source: of the tokens, frozen.
        store: of the clips.
        training: shards on disk to learn from.
        validation: shards on disk to report on.
        labels: of the task.
        minutes: of work, the tokens' included.
        seed: of first weights, augmentation and order.
        watch: is told of the progress.
        steps: stop after so many instead.
        clock: seconds.
    """
    started = clock()
    banks = fill(source, store, training, labels, seed)
    held = fill(source, store, validation, labels, None)
    torch.manual_seed(seed)
    head = Head(source.width, labels)
    sample = banks[0].tokens[:: max(1, len(banks[0].tokens) // 256)].float().flatten(0, 1)  # [many, width]
    head.mean.copy_(sample.mean(0))
    head.scale.copy_(1 / sample.std(0).clamp_min(1e-3))
    optimiser = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=DECAY)
    random = np.random.default_rng(seed)
    sizes = np.array([len(bank.tokens) for bank in banks], float)
    step = 0
    while (progress := (clock() - started) / (60 * minutes) if steps is None else step / steps) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARMUP) * (1 - progress)
        bank = banks[int(random.choice(len(banks), p=sizes / sizes.sum()))]
        rows = torch.from_numpy(random.choice(len(bank.tokens), min(BATCH, len(bank.tokens)), replace=False))
        some = torch.from_numpy(random.permutation(bank.tokens.shape[1])[: bank.tokens.shape[1] // SEEN])
        loss = loss_of(head(bank.tokens[rows[:, None], some].float()), bank.targets.rows(rows))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own stub
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        step += 1
        watch(HeadReport(step, progress, float(loss.detach())))
    found = doneness(head.eval(), held)
    watch(HeadReport(step, 1.0, 0.0, found))
    return head, found, step


@torch.inference_mode()
def doneness(head: Head, banks: Sequence[Bank]) -> Share:
    """Share of clips whose label the head gets right."""
    hits = count = 0
    for bank in banks:
        for first in range(0, len(bank.tokens), BATCH):
            said = head(bank.tokens[first : first + BATCH].float()).doneness.argmax(-1)  # [b]
            hits += int((said == bank.targets.label[first : first + BATCH]).sum())
            count += len(said)
    return wilson(hits, count)
