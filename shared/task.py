"""Task files: what is inspected, which labels there are, and how it is asked. A new task is a new TOML file."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal, get_args

import msgspec

from shared.errors import BadInputError

Priority = Literal["urgent", "high", "normal", "low"]
PRIORITIES: tuple[Priority, ...] = ("urgent", "high", "normal", "low")
CurrentName = Literal["sleep", "idle", "active", "camera", "inference"]
PowerState = Literal["DEEP_SLEEP", "LIGHT_SLEEP", "IDLE", "INFERENCE", "MAINTENANCE", "EMERGENCY"]


class ClassifierInput(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The on-device classifier's input: uint8 RGB [size_px, size_px, 3], real value = (q - zero_point) * scale."""

    size_px: int
    scale: float
    zero_point: int


class Escalation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How unsure bakes travel: frames a clip, seconds until the edge's verdict is final, default priority."""

    frames: int
    deadline_s: float
    priority: Priority


class VerdictFields(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of BakeVerdict that this task fills."""

    fields: tuple[str, ...]


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the language model is asked."""

    question: str
    instruction: str


class Battery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A battery type: its curve gives the open-circuit voltage in mV by the share of the capacity that is used."""

    name: str
    capacity_mah: float
    full_mv: float
    low_mv: float
    critical_mv: float
    internal_ohm: float
    lost_per_year: float
    curve: tuple[tuple[float, float], ...]


class ThermalStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From this temperature on the clock is at most so fast."""

    from_c: float
    clock_mhz: float


class Power(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Model of the board's currents, by name and by state; see the comments of pizza.toml."""

    reference_mhz: float
    leakage_per_c: float
    leakage_from_c: float
    hysteresis_c: float
    currents_ma: dict[CurrentName, float]
    states: dict[PowerState, CurrentName]
    thermal: tuple[ThermalStep, ...]
    batteries: tuple[Battery, ...]

    def battery(self, name: str) -> Battery:
        """The battery of that name. Raises BadInputError."""
        for battery in self.batteries:
            if battery.name == name:
                return battery
        raise BadInputError(f"no battery {name!r}: one of {', '.join(battery.name for battery in self.batteries)}")


class Task(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One inspection task, as read from its TOML file."""

    name: str
    title: str
    item: str
    labels: tuple[str, ...]
    critical: tuple[str, ...]
    rejected: tuple[str, ...]
    input: ClassifierInput
    escalation: Escalation
    verdict: VerdictFields
    prompt: Prompt
    data: str = "rendered"  # where learning finds its frames: rendered, elpv, or folder (named with --data)
    power: Power | None = None  # what the board draws, where somebody has modelled it

    def index(self, label: str) -> int:
        """Position of `label` among the logits; BadInputError for an unknown label."""
        try:
            return self.labels.index(label)
        except ValueError:
            raise BadInputError(f"task {self.name} has no label {label!r}: one of {', '.join(self.labels)}") from None

    def with_size(self, size_px: int) -> Task:
        """The task for a classifier of another input size; 0 leaves it. Raises BadInputError for one out of range."""
        if not size_px:
            return self
        sized = msgspec.structs.replace(self, input=msgspec.structs.replace(self.input, size_px=size_px))
        _check(sized, f"task {self.name}")
        return sized


def parse_task(text: str, origin: str) -> Task:
    """Read a task from TOML text; `origin` names the file in errors. Raises BadInputError."""
    try:
        task = msgspec.convert(tomllib.loads(text), Task)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise BadInputError(f"{origin}: not a task file: {error}") from None
    _check(task, origin)
    return task


def _check(task: Task, origin: str) -> None:
    if not 2 <= len(task.labels) <= 255 or len(set(task.labels)) != len(task.labels):
        raise BadInputError(f"{origin}: labels must be 2 to 255 different names")
    for kind, names in (("critical", task.critical), ("rejected", task.rejected)):
        if unknown := sorted(set(names) - set(task.labels)):
            raise BadInputError(f"{origin}: {kind} names unknown labels: {', '.join(unknown)}")
    if not 8 <= task.input.size_px <= 224:
        raise BadInputError(f"{origin}: input.size_px must be 8 to 224, not {task.input.size_px}")
    if not 1 <= task.escalation.frames <= 64:
        raise BadInputError(f"{origin}: escalation.frames must be 1 to 64, not {task.escalation.frames}")
    if not 0 < task.escalation.deadline_s <= 86_400:
        raise BadInputError(f"{origin}: escalation.deadline_s must be over 0 and at most 86400 seconds")
    if task.power is not None:
        _check_power(task.power, origin)


def _check_power(power: Power, origin: str) -> None:
    if set(power.currents_ma) != set(get_args(CurrentName)) or set(power.states) != set(get_args(PowerState)):
        raise BadInputError(
            f"{origin}: power.currents_ma needs {', '.join(get_args(CurrentName))}, "
            f"power.states {', '.join(get_args(PowerState))}"
        )
    if any(not 0 <= current <= 10_000 for current in power.currents_ma.values()):
        raise BadInputError(f"{origin}: power.currents_ma must be 0 to 10000")
    if not 0 < power.reference_mhz <= 1000 or not 0 <= power.leakage_per_c <= 1 or not 0 <= power.hysteresis_c <= 50:
        raise BadInputError(f"{origin}: power.reference_mhz, leakage_per_c or hysteresis_c is out of range")
    steps = [step.from_c for step in power.thermal]
    if not steps or steps != sorted(set(steps)) or any(not 0 < step.clock_mhz <= 1000 for step in power.thermal):
        raise BadInputError(f"{origin}: power.thermal needs rising temperatures and clocks in MHz")
    if not power.batteries:
        raise BadInputError(f"{origin}: power.batteries is empty")
    for battery in power.batteries:
        shares, voltages = zip(*battery.curve, strict=True) if battery.curve else ((), ())
        falling = list(voltages) == sorted(voltages, reverse=True)
        if len(shares) < 2 or shares[0] != 0 or shares[-1] != 1 or list(shares) != sorted(set(shares)) or not falling:
            raise BadInputError(f"{origin}: battery {battery.name}: the curve must go from 0 to 1 and fall")
        if not battery.capacity_mah > 0 or not battery.internal_ohm >= 0 or not 0 <= battery.lost_per_year < 1:
            raise BadInputError(f"{origin}: battery {battery.name}: capacity, resistance or loss is out of range")


@cache
def load_task(name_or_path: str = "pizza") -> Task:
    """The task of that name shipped with crustwatch, or read from a `.toml` file.

    Raises BadInputError when there is no such task or the file is not a task.
    """
    if name_or_path.endswith(".toml"):
        path = Path(name_or_path)
        try:
            return parse_task(path.read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise BadInputError(f"{path}: cannot be read: {error}") from None
    shipped = resources.files("shared.tasks")
    names = sorted(entry.name.removesuffix(".toml") for entry in shipped.iterdir() if entry.name.endswith(".toml"))
    if name_or_path not in names:
        raise BadInputError(f"no task {name_or_path!r}: one of {', '.join(names)}, or the path of a .toml file")
    return parse_task((shipped / f"{name_or_path}.toml").read_text(encoding="utf-8"), f"{name_or_path}.toml")
