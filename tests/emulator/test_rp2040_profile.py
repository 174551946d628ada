"""Profiles of a program whose calls are known: counts, chains, cycles, files for other tools, coverage, stack."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_sim.rp2040 import Board, Profile, Stop
from firmware_sim.rp2040.layout import CORE_STRIDE, INSTRUCTIONS
from firmware_sim.rp2040.profile_files import callgrind, coverage, lcov, speedscope

PROGRAMS = Path(__file__).parent / "programs"
CALLS = PROGRAMS / "calls.elf"
PREBUILT = Path(__file__).parents[2] / "firmware_sim" / "firmware" / "prebuilt" / "firmware.elf"


def profiled(path: Path = CALLS, elf: bool = True) -> tuple[Profile, Stop, Board]:
    board = Board()
    board.load(path if elf else path.read_bytes())
    if not elf:
        board.symbols = type(board.symbols)()
    with Profile(board) as profile:
        stop = board.run(max_cycles=2_000_000)
    return profile, stop, board


@pytest.fixture(scope="module")
def calls() -> tuple[Profile, Stop, Board]:
    return profiled()


def chains(profile: Profile) -> Counter[tuple[str, ...]]:
    """Calls by the names from the root down."""
    found: Counter[tuple[str, ...]] = Counter()
    names: list[tuple[str, ...]] = []
    for node in profile.nodes:
        names.append((*names[node.parent], node.name) if node.parent >= 0 else ())
        if node.calls:
            found[names[-1]] += node.calls
    return found


def test_a_profiled_run_is_the_same_run(calls: tuple[Profile, Stop, Board]) -> None:
    profile, stop, _ = calls
    plain = Board()
    plain.load(CALLS)
    assert plain.run(max_cycles=2_000_000) == stop
    assert profile.total_cycles == stop.cycles
    assert profile.total_instructions == stop.instructions
    assert sum(cost.cycles for cost in profile.functions()) == stop.cycles


def test_calls_are_counted(calls: tuple[Profile, Stop, Board]) -> None:
    counted = {cost.name: cost.calls for cost in calls[0].functions()}
    expected = {"fib": 177, "leaf": 3, "tail": 1, "choose": 6, "deep": 7, "count": 2, "sys_tick": 5, "pend_sv": 2}
    assert {name: counted[name] for name in expected} == expected
    assert counted["__gnu_thumb1_case_uqi"] == 5
    assert "not_called" not in counted


def test_chains_of_calls(calls: tuple[Profile, Stop, Board]) -> None:
    found = chains(calls[0])
    main = ("reset", "main")
    assert found[*main, "choose"] == 6
    assert found[*main, "choose", "__gnu_thumb1_case_uqi"] == 5  # back behind its table, in choose
    assert found[*main, "choose", "leaf"] == 2  # called, and in the place of tail
    assert found[*main, "choose", "tail"] == 1
    assert found[*main, "leaf"] == 1  # through a pointer
    assert found[*main, *["deep"] * 7] == 1
    assert found[*main, *["deep"] * 7, "count"] == 1
    assert found[*main, *["fib"] * 10] == 2  # fib(1) and fib(0)
    rom = [chain for chain in found if chain[-1].startswith("boot ROM")]
    assert [chain[:-1] for chain in rom] == [(*main, "rom_popcount")] * 2
    handlers = [chain for chain in found if chain[-1] in ("sys_tick", "pend_sv")]
    assert sum(found[chain] for chain in handlers) == 7
    assert all("sys_tick" not in chain[:-1] for chain in handlers)  # pend_sv is chained behind, not inside
    assert all(chain[:2] == main for chain in found if len(chain) > 1)


def test_cycles_agree_with_breakpoints(calls: tuple[Profile, Stop, Board]) -> None:
    """main's chain of calls to `deep`, from its first instruction to the one behind its call."""
    board = Board()
    board.load(CALLS)
    entry = board.breakpoint("deep")
    before = board.run(max_cycles=100_000)
    entry.remove()
    ticks: list[int] = []
    board.hook("sys_tick", lambda board: ticks.append(board.cycles))
    board.breakpoint(board.registers["lr"])
    after = board.run(max_cycles=100_000)
    nodes = calls[0].nodes
    whole = next(node for node in nodes if node.name == "deep" and nodes[node.parent].name == "main")
    assert after.reason == "breakpoint"
    assert whole.inclusive_cycles == after.cycles - before.cycles
    assert whole.instructions > 0


def test_sleep_is_apart(calls: tuple[Profile, Stop, Board]) -> None:
    costs = {cost.name: cost for cost in calls[0].functions()}
    assert 1000 < costs["(asleep)"].cycles < 2000  # SysTick comes every 500 cycles, its handler takes 50
    assert costs["main"].cycles < 200


def test_lines_sum_to_the_functions(calls: tuple[Profile, Stop, Board]) -> None:
    profile, stop, _ = calls
    lines = profile.lines()
    outside = [c for c in profile.functions() if not c.file]
    rest = sum(cost.cycles for cost in outside)
    assert sum(cost.cycles for cost in lines) == stop.cycles - rest
    source = (PROGRAMS / "calls.c").read_text().splitlines()
    recursion = next(i for i, text in enumerate(source, 1) if "fib(uint32_t n)" in text)
    assert {(cost.line, cost.cycles, cost.count) for cost in lines if cost.line == recursion} == {
        (recursion, next(c.cycles for c in profile.functions() if c.name == "fib"), 177)
    }


def test_without_symbols_the_chains_are_the_same_by_address(calls: tuple[Profile, Stop, Board]) -> None:
    bare, stop, board = profiled(elf=False)
    assert stop == calls[1]
    named = Counter()
    symbols = Board()
    symbols.load(CALLS)
    for chain, count in chains(bare).items():
        names = [symbols.symbols.describe(int(n, 16)) if n.startswith("0x") else n for n in chain]
        named[tuple(names)] += count
    main = ("reset", "main")
    assert named[*main, *["fib"] * 10] == 2  # fib(1) and fib(0)
    assert named[*main, "choose", "__gnu_thumb1_case_uqi"] == 5
    assert named[*main, "choose"] == 6
    assert sum(count for chain, count in named.items() if chain[-1] == "sys_tick") == 5
    assert board.symbols.functions == []


def test_longjmp_and_newlib_leave_nothing_behind() -> None:
    profile, stop, _ = profiled(PROGRAMS / "newlib.elf")
    assert stop.reason == "bkpt"
    assert (profile.total_cycles, profile.lost_calls) == (stop.cycles, 0)


def test_speedscope_file_has_what_its_schema_asks_for(calls: tuple[Profile, Stop, Board]) -> None:
    made = json.loads(json.dumps(speedscope(calls[0], "calls.elf")))
    assert made["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert all(isinstance(frame["name"], str) for frame in made["shared"]["frames"])
    assert {key for frame in made["shared"]["frames"] for key in frame} <= {"name", "file", "line", "col"}
    (profile,) = made["profiles"]
    assert set(profile) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
    assert (profile["type"], profile["unit"]) == ("sampled", "none")
    assert len(profile["samples"]) == len(profile["weights"])
    assert sum(profile["weights"]) == profile["endValue"] - profile["startValue"] == calls[1].cycles
    count = len(made["shared"]["frames"])
    assert all(0 <= frame < count for sample in profile["samples"] for frame in sample)


def read_callgrind(text: str) -> tuple[dict[str, int], dict[tuple[str, str], list[int]]]:
    """Own cycles by function; (calls, inclusive cycles) by caller and callee."""
    own: dict[str, int] = defaultdict(int)
    edges: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    name = callee = ""
    calls = 0
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "fn":
            name = value
        elif key == "cfn":
            callee = value
        elif key == "calls":
            calls = int(value.split()[0])
        elif line.startswith("0x"):
            cycles = int(line.split()[2])
            if calls:
                edges[name, callee][0] += calls
                edges[name, callee][1] += cycles
                calls = 0
            else:
                own[name] += cycles
    return own, edges


def test_callgrind_file_adds_up(calls: tuple[Profile, Stop, Board]) -> None:
    profile, stop, _ = calls
    own, edges = read_callgrind(callgrind(profile, "calls.elf"))
    assert dict(own) == {cost.name: cost.cycles for cost in profile.functions()}
    assert sum(own.values()) == stop.cycles
    assert edges["reset", "main"][0] == 1
    assert own["reset"] + edges["reset", "main"][1] == stop.cycles
    assert edges["fib", "fib"][0] == 176


@pytest.mark.skipif(shutil.which("callgrind_annotate") is None, reason="callgrind_annotate (valgrind) is not installed")
def test_callgrind_annotate_reads_it(calls: tuple[Profile, Stop, Board], tmp_path: Path) -> None:
    (tmp_path / "callgrind.out.1").write_text(callgrind(calls[0], "calls.elf"))
    command = ["callgrind_annotate", "callgrind.out.1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert f"{calls[1].cycles:,} (100.0%)" in done.stdout
    assert any("fib" in line and "3,801" in line for line in done.stdout.splitlines())


def test_coverage(calls: tuple[Profile, Stop, Board]) -> None:
    profile = calls[0]
    counts = coverage(profile)
    assert counts["functions"] - counts["functions_run"] == 2  # not_called and hard_fault
    text = lcov(profile, "calls.elf")
    source = (PROGRAMS / "calls.c").read_text().splitlines()
    dead = next(i for i, line in enumerate(source, 1) if "not_called(uint32_t x)" in line)
    assert f"DA:{dead},0" in text
    assert "FNDA:0,not_called" in text
    assert "FNDA:177,fib" in text
    assert text.count("end_of_record") == text.count("SF:")


@pytest.mark.skipif(shutil.which("lcov") is None, reason="lcov is not installed")
def test_lcov_reads_it(calls: tuple[Profile, Stop, Board], tmp_path: Path) -> None:
    (tmp_path / "coverage.lcov").write_text(lcov(calls[0], "calls.elf"))
    command = ["lcov", "--summary", "coverage.lcov"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "lines" in done.stdout + done.stderr


def test_stack_high_water(calls: tuple[Profile, Stop, Board]) -> None:
    (use,) = calls[0].stacks()
    # reset and main push 32 bytes, each of 7 calls of deep 72; an interrupt may add its frame of 32
    assert (use.core, use.highest) == (0, 0x20040000)
    assert use.bytes in (32 + 7 * 72, 32 + 7 * 72 + 32)


@pytest.fixture(scope="module")
def two_cores(example_elf: Callable[..., Path]) -> tuple[Profile, Stop, Board]:
    return profiled(example_elf("two_cores", "sram"))


def test_a_profiled_run_of_two_cores_is_the_same_run(
    two_cores: tuple[Profile, Stop, Board], example_elf: Callable[..., Path]
) -> None:
    _, stop, board = two_cores
    plain = Board()
    plain.load(example_elf("two_cores", "sram"))
    assert plain.run(max_cycles=2_000_000) == stop
    assert plain.core_registers(1) == board.core_registers(1)
    assert plain.place(1) == board.place(1)
    assert plain.uart0.sent == board.uart0.sent


def test_both_cores_have_chains_of_their_own(two_cores: tuple[Profile, Stop, Board]) -> None:
    profile, stop, board = two_cores
    first, second = profile.nodes[:2]
    assert first.inclusive_cycles == stop.cycles
    assert 0 < second.inclusive_cycles <= board.place(1)[0]
    assert second.inclusive_instructions == int(board.chip.S[CORE_STRIDE + INSTRUCTIONS])
    (core1,) = [chain for chain in chains(profile) if chain[-1] == "core1"]
    assert core1[0].startswith("boot ROM")  # which launched it
    made = speedscope(profile, "two")
    assert [p["endValue"] for p in made["profiles"]] == [first.inclusive_cycles, second.inclusive_cycles]
    assert len(profile.stacks()) == 2


def test_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "shared.cli", "emu", "profile", str(CALLS), "--out", str(tmp_path / "new" / "p")]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["functions"][0]["name"] == "fib"
    assert sorted(result["files"]) == ["callgrind.out", "coverage.lcov", "profile.speedscope.json"]
    assert all(Path(file).stat().st_size for file in result["files"].values())
    done = subprocess.run([*command, "--top", "3"], capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines()[1].split()[-2:] == ["fib", "programs/calls.c:13"]


@pytest.mark.parametrize("path", [PROGRAMS / "echo.elf", PREBUILT], ids=["echo", "firmware"])
def test_the_second_stages_stack_does_not_count(path: Path) -> None:
    """They start through the second stage at 0x20041f00, which sets MSP to the first word of their vector table."""
    profile, _, board = profiled(path)
    (use,) = profile.stacks()
    assert use.highest == int.from_bytes(board.read_memory(0x10000100, 4), "little") != 0x20041F00
    assert use.bytes < 4096
    assert (use.bytes > 0) == (path == PREBUILT)  # nobody types: echo only waits
