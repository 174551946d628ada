"""`crustwatch edge learn`: from a store of verdicts to a challenger that is certified, compared, and worth a trial."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.certification.certificate import save_certificate, sign
from edge.certification.issuing import certificate_of
from edge.certification.procedure import Certified
from edge.datasets import open_dataset
from edge.learning.commands import data_of
from edge.learning.evaluation import integer_logits, share_json
from edge.learning.frames import FrameSet, FrameStore
from edge.learning.model_folder import ModelFolder, read_model
from edge.learning.parts import photograph_parts
from edge.learning.settings import settings_for
from edge.loop.evidence import Proof, certify_stored, of_traffic, proof_of, sample_of
from edge.loop.judgement import MOST_FORGOTTEN, compare_models, held, paired_json, reasons_against
from edge.loop.paired import compare
from edge.loop.parts import PARTS, Lessons, check_spoken, lessons_of, newest_complete, training_frames
from edge.loop.registry import CERTIFICATE
from edge.loop.store import Store
from edge.watch.familiar import SMALLEST_SAMPLE
from edge.watch.reference import REFERENCE, fit_reference, save_reference
from shared.cache_folder import cache_folder
from shared.errors import BadInputError
from shared.intervals import wilson
from shared.task import Task

if TYPE_CHECKING:
    from edge.learning.pipeline import Reporter  # loads torch

SMALLEST_LESSON = 50  # labelled bakes to learn from
FRAMES_A_BAKE = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """How to learn. Counts of rendered bakes; photographs give their own parts."""

    alphas: dict[int, float]
    delta: float = 0.05
    epochs: int = 8
    learning_rate: float = 4e-3
    seed: int = 1
    replay: int = 1000  # bakes of the champion's own training data, so that it does not forget
    trusted: int = 400  # bakes whose labels are certain and that nobody was trained on
    most_forgotten: float = MOST_FORGOTTEN
    since_us: int = 0
    days: int = 90
    data: str | None = None
    cache: Path | None = None
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Learned:
    """A challenger's folder, and what was found."""

    folder: Path
    accepted: bool
    figures: dict[str, Any]  # for machines


def learn(
    store: Store,
    model: Path,
    task: Task,
    plan: Plan,
    out: Path,
    key: Ed25519PrivateKey,
    *,
    reporter: Reporter,
    resume: bool = False,
) -> Learned:
    """Train the model in folder `model` on with the store's bakes; certify, compare and judge the result in `out`.

    Raises BadInputError when the store holds too little or another task's bakes.
    """
    from edge.learning.continued import learn_on

    began_s = time.monotonic()
    champion = read_model(model)
    task = task.with_size(champion.graph.input_tensor.shape[0])
    store.check_task(task)
    if champion.graph.labels != len(task.labels):
        raise BadInputError(f"{model}: {champion.graph.labels} labels, task {task.name} has {len(task.labels)}")
    lessons = lessons_of(store, task, plan.since_us)
    train, fit, held_out = (lessons.of(part) for part in PARTS)
    if len(lessons) < SMALLEST_LESSON or not (len(train) and len(fit) and len(held_out)):
        raise BadInputError(
            f"{store.folder}: {len(lessons)} bakes have a word: at least {SMALLEST_LESSON} are needed to learn from"
        )
    replay, trusted = _trusted_parts(task, plan, reporter)
    frames = min(FRAMES_A_BAKE, max(one.row["frames"] for one in lessons.known))
    lesson = training_frames(store, lessons, train, frames, task.input.size_px)
    proof = proof_of(lessons, plan.alphas, plan.delta)
    calibrating = FrameSet(0, lessons.seen[fit][:, None], lessons.labels[fit], "store")
    testing = FrameSet(0, lessons.seen[held_out][:, None], lessons.labels[held_out], "store")
    learn_on(
        model,
        task,
        _shuffled(lesson, replay, plan.seed),
        calibrating,
        testing,
        out,
        epochs=plan.epochs,
        learning_rate=plan.learning_rate,
        seed=plan.seed,
        resume=resume,
        reporter=reporter,
    )
    challenger = read_model(out)
    _keep_reference(challenger, lessons, proof, out, plan.seed)

    uncertified, found = None, None
    try:
        check_spoken(lessons, store)
        found = certify_stored(challenger, lessons, proof, plan.alphas, plan.delta, task)
    except BadInputError as error:
        uncertified = str(error)
    before = _certified_or_none(champion, lessons, proof, plan, task) if found else None
    compared = proof.certifying if found else held_out
    seen, truth, shares = lessons.seen[compared], lessons.labels[compared], proof.shares[compared]
    old, new = held(champion, model, seen, before), held(challenger, out, seen, found)
    figures = compare_models(old, new, truth, shares, plan.alphas, task)
    known_good = _on_trusted(champion, challenger, trusted)
    taught_by = _store_figures(lessons, proof.complete)
    reasons = reasons_against(figures, known_good, taught_by["cloud_wrong"], uncertified, plan.most_forgotten)
    certificate = None
    if found is not None:
        words = certificate_of(
            found,
            challenger,
            task,
            plan.delta,
            escalated=of_traffic(~new.passed, shares),
            sample=sample_of(lessons, proof),
            today=datetime.now(UTC).date(),
            days=plan.days,
        )
        certificate = out / CERTIFICATE
        save_certificate(sign(words, key), certificate)
    return Learned(
        out,
        not reasons,
        {
            "task": task.name,
            "accepted": not reasons,
            "reasons": reasons,
            "folder": str(out),
            "certificate": None if certificate is None else str(certificate),
            "store": taught_by,
            **figures,
            "trusted": known_good,
            "seconds": round(time.monotonic() - began_s, 1),
        },
    )


def _trusted_parts(task: Task, plan: Plan, reporter: Reporter) -> tuple[FrameSet | None, FrameSet | None]:
    """Bakes to remember by, and trusted ones to be tested on: of the task's own data, None of what is not wanted."""
    if task.data != "rendered" or plan.data is not None:
        if plan.data is None and task.data == "folder":
            return None, None
        settings = settings_for(task.name)
        parts = photograph_parts(open_dataset(data_of(task, plan.data) or "", task), settings.split_seed)
        return (parts.train if plan.replay else None), (parts.test if plan.trusted else None)
    settings, frames = settings_for(task.name), FrameStore(plan.cache or cache_folder(), task, plan.processes)

    def load(seed: int, bakes: int) -> FrameSet | None:
        return frames.load(seed, bakes, reporter.stage(f"frames of seed {seed}", bakes)) if bakes else None

    return load(settings.train_seed, plan.replay), load(settings.test_seed, plan.trusted)


def _shuffled(lesson: FrameSet, replay: FrameSet | None, seed: int) -> FrameSet:
    """Lessons and what is replayed in a seeded order, with the lessons' number of frames a bake."""
    frames, labels = lesson.frames, lesson.labels
    if replay is not None:
        wanted, there = frames.shape[1], replay.frames.shape[1]
        picks = np.arange(wanted) * there // wanted
        frames = np.concatenate([frames, replay.frames[:, picks]])  # [N, F, S, S, 3]
        labels = np.concatenate([labels, replay.labels])
    order = np.random.default_rng(seed).permutation(len(labels))
    return FrameSet(seed, frames[order], labels[order], "store")


def _keep_reference(challenger: ModelFolder, lessons: Lessons, proof: Proof, out: Path, seed: int) -> None:
    """What frames look like now, for the watch on unfamiliar ones and on drift: bakes that are not held out.

    Unsure bakes are thinned out to their share of the traffic, unless too few would be left to say anything.
    """
    window = newest_complete(lessons) if proof.complete else np.arange(len(lessons))
    items = np.setdiff1d(window, lessons.of("held_out"))
    shares = proof.shares[items]
    thinned = items[np.random.default_rng(seed).random(len(items)) < shares.min() / shares]
    for chosen in (thinned, items, np.arange(len(lessons))):
        if len(chosen) >= SMALLEST_SAMPLE:
            frames = lessons.seen[np.random.default_rng(seed).permutation(chosen)]  # one half whitens, one limits
            reference = fit_reference(frames, integer_logits(challenger.graph, frames), challenger.gate)
            save_reference(reference, out / REFERENCE)
            return


def _certified_or_none(
    champion: ModelFolder, lessons: Lessons, proof: Proof, plan: Plan, task: Task
) -> Certified | None:
    """The champion under the same promise on the same bakes; None when it can pass nothing under it."""
    try:
        return certify_stored(champion, lessons, proof, plan.alphas, plan.delta, task)
    except BadInputError:
        return None


def _on_trusted(champion: ModelFolder, challenger: ModelFolder, trusted: FrameSet | None) -> dict[str, Any] | None:
    """Accuracy of both where labels are certain."""
    if trusted is None:
        return None
    right = [
        integer_logits(folder.graph, trusted.key_frames).argmax(axis=1) == trusted.labels
        for folder in (champion, challenger)
    ]
    return {
        "data": f"{trusted.source} seed {trusted.seed}",
        "champion": share_json(wilson(int(right[0].sum()), len(right[0]))),
        "challenger": share_json(wilson(int(right[1].sum()), len(right[1]))),
        "difference": paired_json(compare(right[0], right[1], np.ones(len(right[0])))),
    }


def _store_figures(lessons: Lessons, complete: bool) -> dict[str, Any]:
    """What was learnt from; `cloud_wrong` is the cloud's error where a person looked as well."""
    both = [one for one in lessons.known if one.person is not None and one.cloud is not None and one.cloud.label]
    wrong = sum(one.cloud is not None and one.cloud.label != one.label for one in both)
    return {
        "labelled": len(lessons),
        "audited": sum(one.row["decision"] == "audit" for one in lessons.known),
        "by_people": sum(one.person is not None for one in lessons.known),
        "silent": lessons.silent,
        "unreadable": lessons.unreadable,
        "cloud_wrong": share_json(wilson(wrong, len(both))) if both else None,
        **{part: len(lessons.of(part)) for part in PARTS},
        "certified_on": "a time when every bake was escalated" if complete else "unsure and audited bakes, weighted",
    }
