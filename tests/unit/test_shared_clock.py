"""Steady time: set clocks, restarts and reboots."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.atomic_file import replace_file
from shared.clock import SteadyClock, since_boot_us, system_now_us

HOUR = 3_600_000_000
T0 = 1_700_000_000_000_000


class Machine:
    """A machine's clocks, to be set at will."""

    def __init__(self) -> None:
        self.wall, self.boot, self.name = T0, 5_000_000, "first"

    def passes(self, us: int) -> None:
        self.wall += us
        self.boot += us

    def clock(self, mark: object = None) -> SteadyClock:
        return SteadyClock(mark, wall=lambda: self.wall, boot=lambda: self.boot, boot_name=self.name)  # type: ignore[arg-type]


@pytest.mark.parametrize("jump", [3 * HOUR, -3 * HOUR])
def test_a_set_wall_clock_moves_no_steady_time_and_is_seen_once(jump: int) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(10)
    machine.wall += jump
    assert clock.now_us() == T0 + 10
    assert clock.wall_us() == T0 + 10 + jump
    assert clock.jump_s() == jump / 1e6
    assert clock.jump_s() == 0.0


@pytest.mark.parametrize("jump", [3 * HOUR, -3 * HOUR])
def test_steady_time_goes_on_over_a_restart(jump: int) -> None:
    machine = Machine()
    mark = machine.clock().mark()
    machine.passes(70)
    machine.wall += jump
    assert machine.clock(mark).now_us() == T0 + 70


@pytest.mark.parametrize(("off", "counted"), [(HOUR, HOUR), (-50 * HOUR, 0), (90_000 * HOUR, 24 * HOUR)])
def test_over_a_reboot_the_wall_clock_tells_but_never_backwards_and_never_years(off: int, counted: int) -> None:
    machine = Machine()
    mark = machine.clock().mark()
    machine.wall, machine.boot, machine.name = T0 + off, 100, "second"
    assert machine.clock(mark).now_us() == T0 + counted


def test_a_slowly_corrected_clock_is_no_jump() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(100):
        machine.passes(1_000_000)
        machine.wall += 500  # 500 ppm, as NTP slews
        assert clock.jump_s() == 0.0


def test_the_system_has_these_clocks() -> None:
    clock = SteadyClock()
    assert abs(clock.now_us() - system_now_us()) < 5_000_000
    assert clock.mark().boot_us <= since_boot_us()


def test_a_state_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    replace_file(path, b"one")
    replace_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]
