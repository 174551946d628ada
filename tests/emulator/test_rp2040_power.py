"""Energy and battery: cycles to charge, voltage, brown-out, thermal steps, the section of the task file."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from firmware_sim.board.energy import Cycles, PowerOptions, estimate, table
from firmware_sim.rp2040 import Board
from firmware_sim.rp2040.cli import app
from firmware_sim.rp2040.layout import CLK_SYS_HZ, SCR
from firmware_sim.rp2040.power import allowed_mhz, current_ma, life_hours, open_mv, power_of_task, usable_share
from shared.errors import BadInputError
from shared.task import load_task, parse_task

SRAM = 0x20000000
POWER = power_of_task("pizza")
PIZZA = Path(__file__).parents[2] / "shared" / "tasks" / "pizza.toml"
HZ = 125_000_000


def board_with(*halves: int) -> Board:
    """A board at 125 MHz with this program at SRAM + 0x100."""
    board = Board(native=False)
    program = struct.pack("<2I", 0x20040000, SRAM + 0x101) + bytes(248) + struct.pack(f"<{len(halves)}H", *halves)
    board.load(program, address=SRAM)
    board.power.clear()
    board.chip.S[CLK_SYS_HZ] = HZ
    board.power._hz = HZ
    return board


def busy() -> Board:
    return board_with(0x3001, 0xE7FD)  # adds r0, #1; b .-2


def asleep() -> Board:
    return board_with(0xBF30, 0xE7FD)  # wfi; b .-2


def test_awake_cycles_become_charge_and_energy() -> None:
    board = busy()
    board.run(until_cycle=1_000_000)
    seconds = board.cycles / HZ
    current = 0.5 + 79.5 * 125 / 133
    used = board.power.usage()["active"]
    assert used.modelled
    assert used.seconds == pytest.approx(seconds)
    assert used.charge_mc == pytest.approx(current * seconds)
    assert board.power.energy_mj == pytest.approx(current * seconds * 3.0)
    assert board.power.slept_cycles == 0
    board.power.enter("INFERENCE")
    board.run(max_cycles=500_000)
    assert board.power.usage()["inference"].seconds == pytest.approx(500_000 / HZ, rel=1e-4)
    assert board.power.usage()["active"].seconds == pytest.approx(seconds)


def test_sleeping_cycles_draw_the_idle_or_the_sleep_current() -> None:
    for scr, name in ((0, "idle"), (4, "sleep")):
        board = asleep()
        board.chip.S[SCR] = scr
        board.run(until_cycle=2_000_000)
        usage = board.power.usage()
        assert usage[name].seconds == pytest.approx(2_000_000 / HZ, rel=1e-4)
        assert usage["active"].seconds < 1e-6


def test_cutting_a_run_into_pieces_changes_nothing() -> None:
    whole, pieces = busy(), busy()
    whole.run(until_cycle=300_000)
    for end in range(50_000, 300_001, 50_000):
        pieces.run(until_cycle=end)
        assert pieces.power.charge_mc > 0
    assert pieces.power.charge_mc == pytest.approx(whole.power.charge_mc, rel=1e-12)


def test_a_change_of_clock_ends_an_interval() -> None:
    board = busy()
    board.run(until_cycle=100_000)
    board.chip.S[CLK_SYS_HZ] = HZ  # as it was; the next one is the ring oscillator's
    board.chip.clocks_changed(board.cycles)
    slow = board.clock_hz
    assert slow < HZ
    board.run(until_cycle=200_000)
    usage = board.power.usage()["active"]
    assert usage.seconds == pytest.approx(100_000 / HZ + 100_000 / slow, rel=1e-3)


def test_camera_comes_on_top_and_heat_costs() -> None:
    board = busy()
    board.power.camera_on = True
    board.power.temperature_c = 35.0
    board.run(until_cycle=1_000_000)
    seconds = board.cycles / HZ
    assert board.power.usage()["camera"].charge_mc == pytest.approx(40 * 1.2 * seconds)
    assert current_ma(POWER, "sleep", HZ, 35.0) == pytest.approx(0.6)
    assert current_ma(POWER, "sleep", HZ, 0.0) == 0.5
    assert current_ma(POWER, "inference", 133e6, 25.0) == 100.0


def test_voltage_falls_with_charge_and_load() -> None:
    battery = POWER.battery("CR123A")
    assert open_mv(battery, 0.0) == 3000
    assert open_mv(battery, 1.0) == 2000
    assert open_mv(battery, 1.1) < 2000
    voltages = [open_mv(battery, i / 100) for i in range(101)]
    assert voltages == sorted(voltages, reverse=True)
    board = busy()
    board.power.connect("CR123A", used=0.5)
    assert board.power.voltage_mv(100) == pytest.approx(open_mv(battery, 0.5) - 50)
    levels = []
    for used in (0.0, 0.99, 1.0):
        board.power.connect("CR123A", used=used)
        levels.append(board.power.level)
    assert levels == ["full", "low", "full" if open_mv(battery, 1.0) >= 2200 else "low"]


def test_life_is_the_usable_charge_over_the_average_current() -> None:
    battery = POWER.battery("CR123A")
    share = usable_share(battery, 100.0, 2500.0)
    assert open_mv(battery, share) - 50 == pytest.approx(2500, abs=0.1)
    assert usable_share(battery, 5000.0, 2500.0) == 0
    assert life_hours(battery, 1.0, 100.0, 2500.0) == pytest.approx(1500 * share / (1 + 15 / 8766))


def test_brown_out_stops_the_board_where_the_detector_does() -> None:
    """CR2032 at 80 mA: 15 ohm take 1.1 V; the core's 1.1 V regulator has nothing left near the end."""
    board = busy()
    board.power.connect("CR2032", used=0.2)
    stop = board.run(max_cycles=2_000_000)
    assert stop.reason == "max_cycles"
    assert any("2.70 V that the flash chip need" in text for text in board.warnings)
    board.power.connect("CR2032", used=0.9999)
    assert board.power.core_mv < board.power.brown_out_mv
    stop = board.run(max_cycles=2_000_000)
    assert stop.reason == "brown_out"
    assert stop.cycles < 2_000_000 + HZ // 1000
    assert "brown-out: core at" in board.faults.log[-1].what
    assert board.run(max_cycles=10).cycles == stop.cycles
    board.power.disconnect()
    board.power_on()
    assert board.run(max_cycles=1_000).reason == "max_cycles"


def test_threshold_and_switch_of_the_detector_are_the_registers() -> None:
    board = busy()
    values = board.chip.blocks["VREG_AND_CHIP_RESET"].values
    assert board.power.brown_out_mv == pytest.approx(860)
    values["BOD"] = 15 << 4 | 1
    assert board.power.brown_out_mv == pytest.approx(1118)
    board.power.connect("CR123A")
    assert board.run(max_cycles=1_000_000).reason == "brown_out"  # 1.118 V is above the regulator's 1.10 V
    board.power_on()
    board.chip.blocks["VREG_AND_CHIP_RESET"].values["BOD"] = 0
    board.power.connect("CR2032", used=1.0)
    assert board.power.brown_out_mv is None
    assert board.run(max_cycles=1_000_000).reason == "max_cycles"


def test_a_battery_runs_empty_while_the_board_runs() -> None:
    board = busy()
    board.power.connect("CR2032", used=0.999)
    board.power.battery = msgspec.structs.replace(POWER.battery("CR2032"), capacity_mah=0.01)
    board.power.used_mah = 0.0
    stop = board.run(max_cycles=10 * HZ)
    assert stop.reason == "brown_out"
    assert board.power.used_mah == pytest.approx(0.01, rel=0.25)
    assert 0.3 < stop.cycles / HZ < 0.6  # 0.01 mAh at 75 mA


def test_snapshots_hold_the_counts() -> None:
    board = busy()
    board.power.connect("CR123A", used=0.1)
    board.run(until_cycle=500_000)
    saved = board.snapshot()
    board.run(until_cycle=900_000)
    other = Board()
    other.restore(saved)
    other.run(until_cycle=900_000)
    assert other.power.usage() == board.power.usage()
    assert other.power.used_mah == board.power.used_mah


def test_thermal_steps_have_a_hysteresis() -> None:
    assert [allowed_mhz(POWER, t) for t in (25, 39.9, 40, 64, 65, 84.9, 85, 120)] == [
        133,
        133,
        100,
        100,
        75,
        75,
        48,
        48,
    ]
    assert allowed_mhz(POWER, 84, present_mhz=48) == 48
    assert allowed_mhz(POWER, 82.9, present_mhz=48) == 75
    assert allowed_mhz(POWER, 38.5, present_mhz=100) == 100
    assert allowed_mhz(POWER, 37.9, present_mhz=100) == 133
    assert allowed_mhz(POWER, 39, present_mhz=133) == 133


def test_estimate_adds_up() -> None:
    cycles = Cycles(inference=12_500_000, other=1_250_000, asleep=11_250_000, clock_hz=HZ, warnings=[])
    options = PowerOptions(period_s=10.0)
    figures = estimate(POWER, cycles, options)
    inference_ma, active_ma, idle_ma = (current_ma(POWER, name, HZ, 25) for name in ("inference", "active", "idle"))
    assert figures["inference_mj"] == pytest.approx(0.1 * inference_ma * 3, rel=1e-3)
    charge = 0.1 * inference_ma + 0.01 * active_ma + 0.09 * idle_ma + 9.8 * 0.5
    assert figures["average_ma"] == pytest.approx(charge / 10, rel=1e-3)
    assert figures["life_h"] == pytest.approx(1500 * figures["usable_share"] / (charge / 10 + 15 / 8766), rel=1e-3)
    assert all("modelled" in line for line in table(figures) if "mJ" in line or "mA" in line)
    assert all("modelled" in key or not key.startswith("measured") for key in figures)
    dead = estimate(POWER, cycles, PowerOptions(battery="CR2032"))
    assert dead["usable_share"] == dead["life_h"] == 0  # 94 mA over 15 ohm leave 1.6 V of 3
    assert any("cannot deliver" in line for line in table(dead))


def test_power_section_is_strict(tmp_path: Path) -> None:
    text = PIZZA.read_text()
    for old, new, message in (
        ("sleep = 0.5", "snooze = 0.5", "not a task file"),
        ("sleep = 0.5", "", "power.currents_ma needs"),
        ('IDLE = "idle"', 'IDLE = "warp"', "not a task file"),
        ("idle = 10.0", "idle = -1.0", "0 to 10000"),
        ("from_c = 40.0", "from_c = 90.0", "rising temperatures"),
        ("[0.8, 2800.0]", "[0.8, 2980.0]", "must go from 0 to 1 and fall"),
        ("capacity_mah = 850.0", "capacity_mah = 0.0", "capacity, resistance or loss"),
        ("reference_mhz = 133.0", "reference_mhz = 0.0", "out of range"),
        ("leakage_from_c = 25.0", "leakage_from_c = 25.0\nextra = 1", "not a task file"),
    ):
        assert old in text
        with pytest.raises(BadInputError, match=re.escape(message)):
            parse_task(text.replace(old, new, 1), "x.toml")
    without = text[: text.index("# Figures of the original board's authors")]
    assert parse_task(without, "x.toml").power is None
    (tmp_path / "x.toml").write_text(without)
    with pytest.raises(BadInputError, match="has no section"):
        power_of_task(str(tmp_path / "x.toml"))
    with pytest.raises(BadInputError, match="one of CR123A, CR2, CR2032"):
        POWER.battery("AAA")
    assert load_task("pizza").power == POWER


def test_command_prints_what_it_says() -> None:
    result = CliRunner().invoke(app, ["power", "--frames", "1", "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["cycles"]["inference"] > 100_000  # a network ran
    assert 0 < figures["inference_mj"] < 100
    assert figures["life_days"] > 1
    assert "modelled" in figures
