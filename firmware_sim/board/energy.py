"""`crustwatch emu power`: energy of an inference and life of a battery, from emulated cycles and modelled currents."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from firmware_sim.board.client import BoardClient
from firmware_sim.board.emulated import EmulatedLine
from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.power import (
    FLASH_LOWEST_MV,
    allowed_mhz,
    current_ma,
    life_hours,
    power_of_task,
    usable_share,
)
from shared.errors import CrustwatchError
from shared.task import Power

MODELLED = "modelled: currents of the task file, never measured; cycles are emulated"


@dataclass(frozen=True)
class PowerOptions:
    """Options of the command."""

    task: str = "pizza"
    battery: str = "CR123A"
    period_s: float = 60.0
    temperature_c: float = 25.0
    frames: int = 3
    until_text: str | None = None
    max_cycles: int | None = None


@dataclass(frozen=True)
class Cycles:
    """Of one inference and its surroundings: cycles of the inference, other cycles awake, cycles asleep; Hz."""

    inference: int
    other: int
    asleep: int
    clock_hz: int
    warnings: list[str]


def measure_frames(firmware: Path | None, frames: int) -> Cycles:
    """Medians over frames of noise sent by the project's serial protocol. Raises DeviceError for other firmware."""
    line = EmulatedLine(firmware)
    client = BoardClient(line)
    board = client.hello()
    rng = np.random.default_rng(0)
    shape = (board.height, board.width, board.channels)
    inference, awake, asleep = [], [], []
    for _ in range(frames):
        before, slept = line.board.cycles, line.board.power.slept_cycles
        inference.append(client.classify(rng.integers(0, 256, shape, np.uint8).tobytes()).cycles)
        asleep.append(line.board.power.slept_cycles - slept)
        awake.append(line.board.cycles - before - asleep[-1])
    median = int(np.median(inference))
    others = max(0, int(np.median(awake)) - median)
    return Cycles(median, others, int(np.median(asleep)), board.clock_hz, line.board.warnings)


def measure_run(firmware: Path, until_text: str | None, max_cycles: int | None) -> Cycles:
    """One run of any firmware from reset on counts as one inference. Raises CrustwatchError when it fails."""
    board = Board()
    board.load(firmware)
    stop = board.run(until_text=until_text, max_cycles=max_cycles)
    if stop.faults or (until_text is not None and stop.reason != "text"):
        raise CrustwatchError(f"{firmware}: the run ended by {stop.reason} after {stop.cycles} cycles")
    asleep = board.power.slept_cycles
    return Cycles(stop.cycles - asleep, 0, asleep, board.clock_hz, board.warnings)


def estimate(power: Power, cycles: Cycles, options: PowerOptions) -> dict[str, Any]:
    """All figures as one object for --json."""
    battery = power.battery(options.battery)
    hz, temperature = cycles.clock_hz, options.temperature_c
    volts = battery.full_mv / 1000
    inference_ma, active_ma, idle_ma, sleep_ma = (
        current_ma(power, name, hz, temperature) for name in ("inference", "active", "idle", "sleep")
    )
    inference_mc = inference_ma * cycles.inference / hz
    around_mc = (active_ma * cycles.other + idle_ma * cycles.asleep) / hz
    busy_s = (cycles.inference + cycles.other + cycles.asleep) / hz
    rest_s = max(0.0, options.period_s - busy_s)
    average_ma = (inference_mc + around_mc + sleep_ma * rest_s) / (busy_s + rest_s)
    lowest_mv = battery.critical_mv
    hours = life_hours(battery, average_ma, inference_ma, lowest_mv)
    flash_hours = life_hours(battery, average_ma, inference_ma, FLASH_LOWEST_MV)
    steps = []
    for step in power.thermal:
        step_hz = step.clock_mhz * 1e6
        step_ma = current_ma(power, "inference", step_hz, max(temperature, step.from_c))
        seconds = cycles.inference / step_hz
        steps.append(
            {
                "from_c": step.from_c,
                "clock_mhz": step.clock_mhz,
                "inference_ms": round(1e3 * seconds, 3),
                "inference_mj": round(step_ma * seconds * volts, 4),
            }
        )
    return {
        "modelled": MODELLED,
        "cycles": asdict(cycles),
        "temperature_c": temperature,
        "allowed_mhz": allowed_mhz(power, temperature),
        "currents_ma": {
            "inference": round(inference_ma, 2),
            "active": round(active_ma, 2),
            "idle": round(idle_ma, 2),
            "sleep": round(sleep_ma, 3),
        },
        "inference_ms": round(1e3 * cycles.inference / hz, 3),
        "inference_mj": round(inference_mc * volts, 4),
        "around_ms": round(1e3 * (cycles.other + cycles.asleep) / hz, 3),
        "around_mj": round(around_mc * volts, 4),
        "period_s": options.period_s,
        "average_ma": round(average_ma, 4),
        "battery": battery.name,
        "usable_share": round(usable_share(battery, inference_ma, lowest_mv), 4),
        "usable_until_mv": lowest_mv,
        "life_h": round(hours, 1),
        "life_days": round(hours / 24, 1),
        "life_days_to_flash_limit": round(flash_hours / 24, 1),
        "inferences_a_charge": int(hours * 3600 / (busy_s + rest_s)),
        "thermal": steps,
    }


def print_energy(firmware: Path | None, options: PowerOptions, as_json: bool) -> None:
    """Measure, estimate and print. Raises CrustwatchError."""
    power = power_of_task(options.task)
    power.battery(options.battery)
    if firmware is not None and (options.until_text is not None or options.max_cycles is not None):
        cycles = measure_run(firmware, options.until_text, options.max_cycles)
    else:
        cycles = measure_frames(firmware, options.frames)
    figures = estimate(power, cycles, options)
    if as_json:
        print(json.dumps(figures))  # noqa: T201
        return
    for text in table(figures):
        print(text)  # noqa: T201


def table(figures: dict[str, Any]) -> list[str]:
    """The same for people."""
    cycles, currents = figures["cycles"], figures["currents_ma"]
    clock = cycles["clock_hz"] / 1e6
    lines = [
        f"inference  {cycles['inference']:>12,} cycles  {figures['inference_ms']:>10.2f} ms  "
        f"{currents['inference']:>6.1f} mA  {figures['inference_mj']:>9.3f} mJ   modelled",
        f"around it  {cycles['other'] + cycles['asleep']:>12,} cycles  {figures['around_ms']:>10.2f} ms  "
        f"{'':>9}  {figures['around_mj']:>9.3f} mJ   modelled ({cycles['asleep']:,} cycles asleep)",
        f"every {figures['period_s']:g} s: {figures['average_ma']:.3f} mA on average at {clock:g} MHz and "
        f"{figures['temperature_c']:g} C; {figures['battery']}: {figures['life_days']:,} days, "
        f"{figures['inferences_a_charge']:,} inferences   modelled",
        f"(to {figures['usable_until_mv']:g} mV; {figures['life_days_to_flash_limit']:,} days to {FLASH_LOWEST_MV:g} "
        "mV, below which the flash chip is not specified)",
    ]
    if figures["usable_share"] == 0:
        lines.append(
            f"{figures['battery']} cannot deliver {currents['inference']:g} mA at {figures['usable_until_mv']:g} mV"
        )
    for step in figures["thermal"]:
        mark = " <- allowed now" if step["clock_mhz"] == figures["allowed_mhz"] else ""
        lines.append(
            f"from {step['from_c']:>4g} C  {step['clock_mhz']:>4g} MHz  {step['inference_ms']:>9.2f} ms  "
            f"{step['inference_mj']:>8.3f} mJ   modelled{mark}"
        )
    lines.append(figures["modelled"])
    return lines
