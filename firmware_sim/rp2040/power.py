"""What the board draws from its battery, computed from emulated cycles: modelled, never measured.

The task file gives a current for each kind of time (asleep deeply, asleep, awake, inference, camera on top). This block
counts the cycles of each kind and turns them into charge and energy with the clock of the moment. With a battery
connected it also follows the voltage, which falls with the charge that was used and with the load, and stops the board
with the reason "brown_out" where the chip's brown-out detector would.

>>> from firmware_sim.rp2040 import Board
>>> board = Board()
>>> board.power.connect("CR123A")
>>> round(board.power.voltage_mv(100.0))  # 100 mA over 0.5 ohm
2950
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

from firmware_sim.rp2040.faults import FaultPlan
from firmware_sim.rp2040.layout import (
    CLK_SYS_HZ,
    CYCLES,
    EXIT,
    EXIT_BROWN_OUT,
    NEVER,
    NEXT_EVENT,
    SLEPT,
    SLEPT_DEEP,
    State,
)
from firmware_sim.rp2040.registers import RegisterBlock
from shared.errors import BadInputError
from shared.task import Battery, CurrentName, Power, PowerState, load_task

# RP2040 datasheet 2.10.6: VREG.VSEL 5 to 15 are 0.80 V to 1.30 V; BOD.VSEL 0 to 15 are 0.473 V to 1.118 V.
VREG_LOWEST_MV, VREG_STEP_MV, VREG_FIRST = 800.0, 50.0, 5
BOD_LOWEST_MV, BOD_STEP_MV = 473.0, 43.0
DROPOUT_MV = 200.0  # of the core's regulator; assumed
IO_LOWEST_MV = 1620.0  # datasheet table 636: IOVDD and VREG_VIN
FLASH_LOWEST_MV = 2700.0  # W25Q16JV
CHECK_S = 0.001  # how often the voltage is looked at
HOURS_A_YEAR = 8766.0


@dataclass(frozen=True)
class Usage:
    """Seconds, charge and energy of one kind of time; `modelled` says what such figures are."""

    seconds: float
    charge_mc: float  # millicoulomb: mA * s
    energy_mj: float
    modelled: bool = True


def power_of_task(name_or_path: str) -> Power:
    """The power model of a task. Raises BadInputError when it has none."""
    power = load_task(name_or_path).power
    if power is None:
        raise BadInputError(f"task {name_or_path} has no section [power]: see that of the task pizza")
    return power


def current_ma(power: Power, name: CurrentName, clock_hz: float, temperature_c: float) -> float:
    """A current of the model at a clock and temperature: what exceeds the sleep current grows with the clock."""
    sleep = power.currents_ma["sleep"]
    value = power.currents_ma[name]
    if name not in ("sleep", "camera"):
        value = sleep + (value - sleep) * clock_hz / (power.reference_mhz * 1e6)
    return value * (1 + power.leakage_per_c * max(0.0, temperature_c - power.leakage_from_c))


def allowed_mhz(power: Power, temperature_c: float, present_mhz: float | None = None) -> float:
    """The fastest clock at a temperature; a slower `present_mhz` is kept within the hysteresis above a step."""
    clock = power.thermal[0].clock_mhz
    for step in power.thermal:
        hot = temperature_c >= step.from_c
        still_hot = present_mhz is not None and present_mhz <= step.clock_mhz
        if hot or (still_hot and temperature_c >= step.from_c - power.hysteresis_c):
            clock = step.clock_mhz
    return clock


def open_mv(battery: Battery, used: float) -> float:
    """Open-circuit voltage after a share of the capacity is used."""
    shares = [share for share, _ in battery.curve]
    i = min(max(bisect.bisect_right(shares, used), 1), len(shares) - 1)
    (a, left), (b, right) = battery.curve[i - 1], battery.curve[i]
    return max(0.0, left + (right - left) * (used - a) / (b - a))


def usable_share(battery: Battery, load_ma: float, lowest_mv: float) -> float:
    """Share of the capacity that can be used until the voltage under a load falls to `lowest_mv`."""
    low, high = 0.0, 1.0
    if open_mv(battery, 0.0) - load_ma * battery.internal_ohm < lowest_mv:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        fits = open_mv(battery, middle) - load_ma * battery.internal_ohm >= lowest_mv
        low, high = (middle, high) if fits else (low, middle)
    return high


def life_hours(battery: Battery, average_ma: float, peak_ma: float, lowest_mv: float) -> float:
    """Hours until a battery cannot deliver `peak_ma` any more, at an average current; self-discharge included."""
    lost_ma = battery.capacity_mah * battery.lost_per_year / HOURS_A_YEAR
    return battery.capacity_mah * usable_share(battery, peak_ma, lowest_mv) / (average_ma + lost_ma)


class PowerModel(RegisterBlock):
    """`board.power`. `state` names the current while a core is awake; `enter` sets it."""

    remembers = (
        *("temperature_c", "state", "camera_on", "battery", "used_mah", "seconds", "charges_mc", "energies_mj"),
        *("_model", "_cycle", "_slept", "_deep", "_hz", "_next", "_told"),
    )

    def __init__(self, S: State, faults: FaultPlan, supply: RegisterBlock, plan: Callable[[], None]) -> None:
        self._faults = faults
        self._plan = plan  # to be called when the next event has changed
        self._supply = supply  # VREG_AND_CHIP_RESET
        self._model: Power | None = None
        self.temperature_c = 25.0
        self.state: CurrentName = "active"
        self.camera_on = False
        self.battery: Battery | None = None
        self.used_mah = 0.0
        self._told: set[str] = set()
        self._next = NEVER
        self._cycle = self._slept = self._deep = self._hz = 0
        super().__init__("POWER", {}, S, lambda name, offset: None)
        self.clear()

    @property
    def model(self) -> Power:
        """The currents; those of the task `pizza` unless `use` was called."""
        if self._model is None:
            self._model = power_of_task("pizza")
        return self._model

    def use(self, model: Power) -> None:
        """Take the currents and batteries of another task. Call it before the run."""
        self._model = model

    def enter(self, state: PowerState) -> None:
        """From now on the core, while it is awake, draws what flows in this state of the task file."""
        self.update()
        self.state = self.model.states[state]

    def connect(self, name: str, *, used: float = 0.0) -> None:
        """Run from a battery of the task file, of which a share is used already. Raises BadInputError."""
        if not 0 <= used <= 1:
            raise BadInputError(f"{used} of a battery cannot be used already: 0 to 1")
        battery = self.model.battery(name)
        self.update()
        self.battery, self.used_mah = battery, used * battery.capacity_mah
        self._next = int(self.S[CYCLES])
        self.S[NEXT_EVENT] = 0
        self._plan()

    def disconnect(self) -> None:
        """Run from a supply that never ends."""
        self.update()
        self.battery, self._next = None, NEVER
        self._plan()

    def clear(self) -> None:
        """Set all counts to 0."""
        names: tuple[CurrentName, ...] = get_args(CurrentName)
        self.seconds: dict[CurrentName, float] = dict.fromkeys(names, 0.0)
        self.charges_mc: dict[CurrentName, float] = dict.fromkeys(names, 0.0)
        self.energies_mj: dict[CurrentName, float] = dict.fromkeys(names, 0.0)
        S = self.S
        self._cycle, self._slept, self._deep = int(S[CYCLES]), int(S[SLEPT]), int(S[SLEPT_DEEP])
        self._hz = int(S[CLK_SYS_HZ])

    def reset(self) -> None:
        """The chip restarts and with it the cycle counter; what was used stays used."""
        super().reset()
        self._cycle = self._slept = self._deep = 0
        self._hz = int(self.S[CLK_SYS_HZ])
        self._next = NEVER if self.battery is None else 0

    def update(self, cycle: int | None = None) -> None:
        """Account for the cycles since the last time, up to a cycle (default: where core 0 is)."""
        S = self.S
        slept, deep = int(S[SLEPT]), int(S[SLEPT_DEEP])
        cycle = int(S[CYCLES]) if cycle is None else cycle
        cycles, asleep, asleep_deep = cycle - self._cycle, slept - self._slept, deep - self._deep
        hz = max(1, self._hz)
        self._cycle, self._slept, self._deep, self._hz = cycle, slept, deep, int(S[CLK_SYS_HZ])
        if cycles <= 0:
            return
        parts: dict[CurrentName, int] = {"sleep": asleep_deep, "idle": asleep - asleep_deep}
        parts[self.state] = parts.get(self.state, 0) + cycles - asleep
        if self.camera_on:
            parts["camera"] = cycles
        for name, count in parts.items():
            current, seconds = current_ma(self.model, name, hz, self.temperature_c), count / hz
            volts = (self.voltage_mv(current) if self.battery else self.model.batteries[0].full_mv) / 1000
            self.seconds[name] += seconds
            self.charges_mc[name] += current * seconds
            self.energies_mj[name] += current * seconds * volts
            self.used_mah += current * seconds / 3600

    def usage(self) -> dict[CurrentName, Usage]:
        """What was used so far, by kind of time."""
        self.update()
        return {name: Usage(self.seconds[name], self.charges_mc[name], self.energies_mj[name]) for name in self.seconds}

    @property
    def slept_cycles(self) -> int:
        """Cycles since the reset in which both cores slept."""
        return int(self.S[SLEPT])

    @property
    def charge_mc(self) -> float:
        """All charge so far, in mA s; modelled."""
        self.update()
        return sum(self.charges_mc.values())

    @property
    def energy_mj(self) -> float:
        """All energy so far; modelled."""
        self.update()
        return sum(self.energies_mj.values())

    def voltage_mv(self, load_ma: float = 0.0) -> float:
        """Voltage of the connected battery under a load; of a full one without."""
        if self.battery is None:
            return self.model.batteries[0].full_mv
        return open_mv(self.battery, self.used_mah / self.battery.capacity_mah) - load_ma * self.battery.internal_ohm

    @property
    def level(self) -> str:
        """full, low or critical, as the original board's firmware calls it."""
        if self.battery is None:
            return "full"
        voltage = self.voltage_mv()
        return "critical" if voltage < self.battery.critical_mv else "low" if voltage < self.battery.low_mv else "full"

    @property
    def core_mv(self) -> float:
        """Voltage that the core's regulator makes from the supply under the present load."""
        select = self._supply.values["VREG"] >> 4 & 15
        wanted = VREG_LOWEST_MV + VREG_STEP_MV * max(0, select - VREG_FIRST)
        return min(wanted, self.voltage_mv(self.load_ma) - DROPOUT_MV)

    @property
    def load_ma(self) -> float:
        """Current while the core is awake, at the present clock."""
        hz = int(self.S[CLK_SYS_HZ])
        load = current_ma(self.model, self.state, hz, self.temperature_c)
        return load + (current_ma(self.model, "camera", hz, self.temperature_c) if self.camera_on else 0.0)

    @property
    def brown_out_mv(self) -> float | None:
        """Core voltage at which the detector resets the chip (VREG_AND_CHIP_RESET.BOD); None when it is off."""
        value = self._supply.values["BOD"]
        return BOD_LOWEST_MV + BOD_STEP_MV * (value >> 4 & 15) if value & 1 else None

    def due(self, cycle: int) -> None:
        """Look at the voltage."""
        if cycle < self._next:
            return
        self.update(cycle)
        self._next = cycle + max(1, int(self.S[CLK_SYS_HZ] * CHECK_S))
        supply, threshold = self.voltage_mv(self.load_ma), self.brown_out_mv
        for limit, part in ((FLASH_LOWEST_MV, "the flash chip"), (IO_LOWEST_MV, "the RP2040's pins and regulator")):
            if supply < limit and part not in self._told:
                self._told.add(part)
                self._faults.warn(f"the battery gives less than the {limit / 1000:.2f} V that {part} need (modelled)")
        if threshold is not None and self.core_mv < threshold:
            self._faults.lose_power(cycle, f"brown-out: core at {self.core_mv:.0f} mV, limit {threshold:.0f} mV")
            self.S[EXIT], self.S[NEXT_EVENT], self._next = EXIT_BROWN_OUT, cycle, NEVER

    def next_event(self) -> int | None:
        """The next look at the voltage; none without a battery."""
        return self._next if self.battery is not None else None
