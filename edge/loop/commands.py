"""What `crustwatch edge learn`, `models`, `promote`, `drop` and `rollback` do."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.certification.certificate import load_certificate
from edge.certification.keys import default_key_file
from edge.certification.promises import default_promises, parse_promises
from edge.loop.registry import CERTIFICATE, Registry
from edge.loop.store import Store
from edge.loop.trial import Trial, check_trial, trial_of
from shared.errors import BadInputError, MissingPartError
from shared.output_folder import output_folder
from shared.pki.keys import load_or_create_key
from shared.task import Task, load_task


def run_learn(
    *,
    store: Path,
    registry: Path | None,
    model: Path | None,
    out: Path,
    task_name: str | None,
    alpha: str | None,
    delta: float,
    settings: dict[str, Any],
    since: datetime | None,
    key: Path | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Learn from a store; with a registry an accepted challenger goes on trial there."""
    try:
        import torch

        from edge.learning.progress import TerminalReporter
        from edge.loop.learn import Plan, learn
    except ImportError as error:
        raise MissingPartError(f"learning needs {error.name}: pip install 'crustwatch[learn]'") from None
    torch.set_num_threads(1)  # the same sums in the same order on every machine
    known = Store.open(store)
    line = None if registry is None else Registry.open(registry)
    if line is not None and line.state.challenger is not None:
        raise BadInputError(f"{registry}: {line.state.challenger} is on trial: promote or drop it first")
    task = load_task(task_name or known.about.task)
    if line is not None and line.state.task != task.name:
        raise BadInputError(f"{registry}: a registry of task {line.state.task}, not of {task.name}")
    known.check_task(task.with_size(known.about.size_px))
    champion = model or (line.champion if line is not None else _shipped(task))
    alphas = parse_promises(alpha if alpha is not None else _promised(champion, task), task)
    if not 0 < delta < 1:
        raise BadInputError(f"--delta must be over 0 and below 1, not {delta:g}")
    since_us = 0 if since is None else int(since.replace(tzinfo=since.tzinfo or UTC).timestamp() * 1e6)
    plan = Plan(alphas, delta, since_us=since_us, **settings)
    output_folder(out)
    with TerminalReporter() as reporter:
        learned = learn(
            known,
            champion,
            task,
            plan,
            out,
            load_or_create_key(key or default_key_file()),
            reporter=reporter,
            resume=resume,
        )
    figures = {**learned.figures, "model": str(champion), "registered": None}
    if line is not None:
        if learned.accepted:
            figures["registered"] = line.add_challenger(learned.folder, learned.figures)
        else:
            line.note_refused(learned.folder, "; ".join(learned.figures["reasons"]))
    print(json.dumps(figures) if as_json else _learned_text(figures))  # noqa: T201


def _shipped(task: Task) -> Path:
    from edge.learning.commands import shipped_model

    return shipped_model(task.name)


def _promised(model: Path, task: Task) -> str:
    """What the model's certificate promises; one per cent for each critical label without one."""
    path = model / CERTIFICATE
    if not path.exists():
        return default_promises(task)
    return ",".join(f"{p.label}={p.alpha:g}" for p in load_certificate(path).certificate.promises)


def _learned_text(figures: dict[str, Any]) -> str:
    """The lines that people read."""
    store = figures["store"]
    lines = [
        f"store       {store['labelled']} labelled bakes: {store['train']} trained on, {store['fit']} fitted on,"
        f" {store['held_out']} held out; {store['audited']} audited, {store['silent']} without a word",
        f"certified   on {store['certified_on']}"
        if figures["certificate"]
        else "certified   no: what stands below is without a promise",
        f"share of the traffic [95 %]{'champion':>19} {'challenger':>24}   difference, p",
        _pair_line("right", figures["accuracy"]),
        _pair_line("escalated", figures["escalated"]),
        *(_pair_line(f"{label} missed", pair) for label, pair in figures["missed"].items()),
    ]
    if figures["trusted"] is not None:
        lines.append(_pair_line("right, trusted bakes", figures["trusted"]))
    verdict = "accepted: on trial" if figures["registered"] else "accepted" if figures["accepted"] else "dropped"
    lines.append(f"challenger {figures['registered'] or figures['folder']} {verdict}")
    lines += [f"  {reason}" for reason in figures["reasons"]]
    return "\n".join(lines)


def _pair_line(name: str, pair: dict[str, Any]) -> str:
    def shown(share: dict[str, Any]) -> str:
        point = "none" if share["share"] is None else f"{share['share']:.3f}"
        return f"{point} [{share['low']:.3f}, {share['high']:.3f}]"

    d = pair["difference"]
    return (
        f"  {name:22} {shown(pair['champion']):>22} {shown(pair['challenger']):>24}"
        f"   {d['difference']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}] p={d['p']:.2g}"
    )


def run_models(folder: Path, found: Path | None, task_name: str, store: Path | None, as_json: bool) -> None:
    """Show a registry; with `found` begin one whose champion is that model folder."""
    registry = Registry.open(folder) if found is None else _begun(folder, found, load_task(task_name))
    state = registry.state
    tried = None if store is None or state.challenger is None else _trial(registry, store)
    if as_json:
        print(  # noqa: T201
            json.dumps(
                {
                    "task": state.task,
                    "champion": state.champion,
                    "challenger": state.challenger,
                    "previous": list(state.previous),
                    "models": {name: str(folder / name) for name in state.models},
                    "events": [{**_event(event), "at": event.at.isoformat()} for event in state.events],
                    "trial": None if tried is None else tried.as_json(),
                }
            )
        )
        return
    print(f"champion    {state.champion}\nchallenger  {state.challenger or 'none'}")  # noqa: T201
    if state.previous:
        print(f"before      {', '.join(reversed(state.previous))}")  # noqa: T201
    if tried is not None:
        print(f"trial       {_trial_text(tried)}")  # noqa: T201
    for event in state.events:
        why = f": {event.why}" if event.why else ""
        print(f"{event.at:%Y-%m-%d %H:%M:%S}  {event.what} {event.model}{why}")  # noqa: T201


def _begun(folder: Path, found: Path, task: Task) -> Registry:
    """A new registry; what it begins with must be a model of the task."""
    from edge.learning.model_folder import read_model_of

    read_model_of(found, task)
    return Registry.create(folder, task.name, found)


def _event(event: Any) -> dict[str, str]:
    return {"what": event.what, "model": event.model, "why": event.why}


def _trial(registry: Registry, store: Path) -> Trial:
    state = registry.state
    challenger = state.models[state.challenger or ""].sha256
    return trial_of(Store.open(store).shadows(), state.models[state.champion].sha256, challenger)


def _trial_text(trial: Trial) -> str:
    return (
        f"{trial.bakes} bakes, {trial.agreed} with the same label; escalated {trial.champion_escalated},"
        f" it would {trial.would_escalate}; of {trial.resolved} resolved disagreements"
        f" {trial.challenger_right} for it, {trial.champion_right} for the champion, p = {trial.p:.2g}"
    )


def run_promote(folder: Path, store: Path | None, without_trial: bool, why: str, as_json: bool) -> None:
    """Promote the challenger when its trial allows it."""
    registry = Registry.open(folder)
    if registry.challenger is None:
        raise BadInputError(f"{folder}: no challenger is on trial: crustwatch edge learn brings one")
    if not without_trial:
        if store is None:
            raise BadInputError("promote needs --store with the trial's rows, or --without-trial")
        trial = _trial(registry, store)
        check_trial(trial)
        why = why or _trial_text(trial)
    _print_change("promoted", registry.promote(why or "without a trial"), registry, as_json)


def run_drop(folder: Path, why: str, as_json: bool) -> None:
    """End the challenger's trial."""
    registry = Registry.open(folder)
    _print_change("dropped", registry.drop(why), registry, as_json)


def run_rollback(folder: Path, why: str, as_json: bool) -> None:
    """Go back to the champion before."""
    registry = Registry.open(folder)
    _print_change("back to", registry.rollback(why), registry, as_json)


def _print_change(what: str, name: str, registry: Registry, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"what": what, "model": name, "champion": registry.state.champion}))  # noqa: T201
        return
    print(f"{what} {name}; the champion is {registry.state.champion} from the gateway's next start")  # noqa: T201
