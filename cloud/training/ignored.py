"""`crustwatch cloud train` is four trainings: options of another one are refused instead of ignored."""

from __future__ import annotations

from dataclasses import fields

from cloud.training.options import SmallOptions
from cloud.tuning.options import TuningOptions
from shared.errors import BadInputError

OF_A_HEAD = ("--minutes", "--cache", "--renderers")


def refuse_ignored(
    small: SmallOptions, tuning: TuningOptions, *, model: str | None, engine: str | None, heads: bool, resume: bool
) -> None:
    """Raise BadInputError, naming what the training that was asked for would not look at."""
    if engine is not None and heads:
        raise BadInputError("--engine and --heads are two trainings: run one after the other")
    if engine is not None or heads:
        unused = [option for option in _changed(small) if option not in OF_A_HEAD] + _changed(tuning)
        unused += ["--resume"] if resume else []
        kind = "--heads" if heads else "--engine"
    elif model is not None:
        unused, kind = _changed(small), "--model"
    else:
        unused, kind = _changed(tuning), "a training from nothing: name what to tune with --model"
    if unused:
        raise BadInputError(f"{', '.join(unused)} {'goes' if len(unused) == 1 else 'go'} not with {kind}")


def _changed(options: SmallOptions | TuningOptions) -> list[str]:
    """The options, as typed, that have another value than their default."""
    found = []
    for field in fields(options):
        value = getattr(options, field.name)
        if value != field.default:
            name = field.name.replace("_", "-")
            found.append(f"--no-{name}" if value is False else f"--{name}")
    return found
