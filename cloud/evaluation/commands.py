"""What `crustwatch cloud eval` does: batches through the model, a ledger of answers, tables and a chart."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cloud.charts import Bar, bar_chart
from cloud.chat import Chat, Question
from cloud.engine import Engine, VerdictEngine
from cloud.evaluation.cli import Bakes, Bench
from cloud.evaluation.ledger import Ledger
from cloud.evaluation.questions import BenchQuestion, scanqa_questions, vsibench_questions
from cloud.evaluation.tables import (
    scanqa_chart,
    scanqa_lines,
    scanqa_report,
    vsibench_chart,
    vsibench_lines,
    vsibench_report,
)
from cloud.media import read_video
from cloud.model_choice import EngineChoice
from cloud.training.evaluation import BakesReport, Judged, ShareReport, judge_batch, report
from shared.bakery.bake import render_bake
from shared.errors import BadInputError, MissingPartError
from shared.task import load_task


def run_vsibench(choice: EngineChoice, bench: Bench, max_tokens: int, as_json: bool) -> None:
    """Ask VSI-Bench's questions, score them in both dialects."""
    questions = vsibench_questions(bench.questions, bench.videos, bench.frames)
    rows = _answered(
        choice,
        bench,
        max_tokens,
        "vsibench",
        questions,
        lambda item: {"question_type": item["question_type"], "ground_truth": str(item["ground_truth"])},
    )
    found = vsibench_report(list(rows.values()))
    _publish(bench.out, found, vsibench_lines(found), vsibench_chart(found, choice.model), as_json)


def run_scanqa(choice: EngineChoice, bench: Bench, max_tokens: int, as_json: bool) -> None:
    """Ask ScanQA's questions and score them."""
    questions = scanqa_questions(bench.questions, bench.videos)
    rows = _answered(choice, bench, max_tokens, "scanqa", questions, lambda item: {"answers": item["answers"]})
    found = scanqa_report(rows)
    _publish(bench.out, found, scanqa_lines(found), scanqa_chart(found, choice.model), as_json)


def run_bakes(choice: EngineChoice, bakes: Bakes, as_json: bool) -> None:
    """Judge bakes 0 to `count` - 1 of `seed`, each as a clip and as one frame; with `out`, resumable."""
    count, seed, batch, out = bakes.count, bakes.seed, bakes.batch, bakes.out
    if 1000 <= seed <= 1999:
        raise BadInputError(f"seed {seed} is training data: choose one outside 1000 to 1999")
    task = load_task("pizza")
    task = msgspec.structs.replace(task, escalation=msgspec.structs.replace(task.escalation, frames=bakes.frames))
    engine = choice.load()
    if bakes.sampling is not None:
        _sample(engine, bakes.sampling)
    judged: dict[str, Judged] = {}
    run = {"bench": "bakes", "weights_sha256": engine.weights_sha256, "engine": engine.engine, "seed": seed}
    run |= {"frames": bakes.frames, "sampling": bakes.sampling}
    with _bar("judging", count) as advance, _maybe(out, run) as ledger:
        if ledger is not None:
            judged = {key: msgspec.convert(row, Judged) for key, row in ledger.rows.items()}
        pending = [index for index in range(count) if str(index) not in judged]
        advance(count - len(pending))
        for first in range(0, len(pending), batch):
            indices = pending[first : first + batch]
            rendered = [render_bake(seed, index) for index in indices]
            for index, one in zip(indices, judge_batch(rendered, engine, task), strict=True):
                judged[str(index)] = one
                if ledger is not None:
                    ledger.add(str(index), msgspec.to_builtins(one))
            advance(len(indices))
    kept = [judged[str(index)] for index in range(count)]
    found = report(kept, engine, seed, task, batch)
    lines = _bakes_lines(found)
    if out is None:
        _say(msgspec.to_builtins(found), lines, as_json)
    else:
        shares = [(name, getattr(found, name)) for name in found.__struct_fields__]
        bars = [
            Bar(name.replace("_", " "), share.share, share.low, share.high)
            for name, share in shares
            if isinstance(share, ShareReport) and share.n
        ]
        title = f"{found.checkpoint} ({found.engine}): {count} rendered bakes of seed {seed}, 95 % intervals"
        _publish(out, msgspec.to_builtins(found), lines, bar_chart(title, bars), as_json)


def _sample(engine: VerdictEngine, sampling: str) -> None:
    """Choose frames as `sampling` says. Raises BadInputError for another word, MissingPartError without the head."""
    if sampling not in ("even", "space"):
        raise BadInputError(f"sampling {sampling!r}: choose even or space")
    if isinstance(engine, Engine) and (sampling == "even" or engine.space_aware):
        engine.space_aware = sampling == "space"
    elif sampling == "space":
        raise MissingPartError(
            f"{engine.name} ({engine.engine}) has no point head to choose frames by: "
            "`crustwatch cloud train --heads --model M --out M` trains one"
        )


def _answered(
    choice: EngineChoice,
    bench: Bench,
    max_tokens: int,
    name: str,
    questions: Sequence[BenchQuestion],
    truth: Callable[[dict[str, Any]], dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    """Rows of all questions by their key, from the ledger or asked now."""
    if bench.limit:
        questions = questions[: bench.limit]
    if bench.sampling not in ("even", "space"):
        raise BadInputError(f"sampling {bench.sampling!r}: choose even or space")
    chat = choice.chat()
    run = {
        "bench": name,
        "weights_sha256": chat.loaded.weights_sha256,
        "engine": choice.engine,
        "dtype": choice.dtype,
        "frames": bench.frames,
        "sampling": bench.sampling,
        "max_tokens": max_tokens,
        "reader": bench.reader,
    }
    with Ledger(bench.out, run) as ledger, _bar("asking", len(questions)) as advance:
        # questions about one video stand side by side: its frames are read and encoded once
        pending = sorted((one for one in questions if one.key not in ledger.rows), key=lambda one: str(one.video))
        advance(len(questions) - len(pending))
        for first in range(0, len(pending), bench.batch):
            group = pending[first : first + bench.batch]
            for one, text in zip(group, _ask(chat, group, bench, max_tokens), strict=True):
                ledger.add(one.key, {"prediction": text, **truth(one.item)})
            advance(len(group))
        return {one.key: ledger.rows[one.key] for one in questions}


def _ask(chat: Chat, group: Sequence[BenchQuestion], bench: Bench, max_tokens: int) -> list[str]:
    space = bench.sampling == "space"
    shown = {}
    for video in {one.video for one in group}:
        footage = read_video(video, max(bench.frames, bench.candidates) if space else bench.frames, bench.reader)
        shown[video] = chat.show(footage, bench.frames, space_aware=space)
    asked = [Question(one.text, (shown[one.video],)) for one in group]
    return [reply.text for reply in chat.answer(asked, max_tokens)]


def _publish(out: Path, found: Mapping[str, Any], lines: Sequence[str], chart: str, as_json: bool) -> None:
    """Write the summary and the chart beside the ledger, and print."""
    out.with_suffix(".summary.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    out.with_suffix(".svg").write_text(chart, encoding="utf-8")
    _say(found, lines, as_json)


def _say(found: Mapping[str, Any], lines: Sequence[str], as_json: bool) -> None:
    print(json.dumps(found) if as_json else "\n".join(lines))  # noqa: T201 - the command's output


def _bakes_lines(found: BakesReport) -> list[str]:
    """The report for people; shares with their 95 % interval."""
    shown = f"{found.doneness.n} rendered bakes of seed {found.seed}, {found.frames} frames"
    lines = [f"{found.checkpoint} ({found.engine}) on {shown}"]
    for name in found.__struct_fields__[7:]:
        value = getattr(found, name)
        if isinstance(value, ShareReport):
            value = f"{value.share:.3f} [{value.low:.3f}, {value.high:.3f}] n={value.n}"
        lines.append(f"  {name.replace('_', ' '):24} {value}")
    return lines


@contextmanager
def _maybe(out: Path | None, run: Mapping[str, Any]) -> Iterator[Ledger | None]:
    if out is None:
        yield None
    else:
        with Ledger(out, run) as ledger:
            yield ledger


@contextmanager
def _bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn(f"[bold]{title}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task(title, total=total)
        yield lambda count: progress.advance(bar, count)
