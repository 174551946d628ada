"""`crustwatch emu profile` and `crustwatch emu trace`: recorded runs and what they print and write."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from firmware_sim.rp2040.board import Board
from firmware_sim.rp2040.profile import Profile
from firmware_sim.rp2040.profile_files import callgrind, coverage, lcov, speedscope
from firmware_sim.rp2040.report import Stop
from firmware_sim.rp2040.session import RunOptions, exit_code, prepare, run_prepared, say, tell, write_stdout
from firmware_sim.rp2040.trace import Trace
from shared.errors import BadInputError

SPEEDSCOPE, CALLGRIND, LCOV = "profile.speedscope.json", "callgrind.out", "coverage.lcov"


def profile_file(path: Path, options: RunOptions, out: Path | None, elf: Path | None, top: int) -> int:
    """Run a file and say where its cycles went; the exit code. Raises BadInputError."""
    board = prepare(path, options)
    if elf is not None:
        board.load_symbols(elf)
    with Profile(board) as profile:
        stop = run_prepared(board, options)
    files = _write(profile, path.name, out) if out is not None else {}
    if options.as_json:
        print(json.dumps(_object(board, profile, stop, files)))  # noqa: T201
    else:
        tell(board, stop)
        write_stdout(_table(profile, top).encode())
        for file in files.values():
            say(f"wrote {file}")
    return exit_code(board, stop, options)


def _write(profile: Profile, title: str, out: Path) -> dict[str, str]:
    """Write the files; their names."""
    contents = {
        SPEEDSCOPE: json.dumps(speedscope(profile, title)),
        CALLGRIND: callgrind(profile, title),
        LCOV: lcov(profile, title),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"cannot write to {out}: {error.strerror or error}") from error
    return {name: str(out / name) for name in contents}


def _object(board: Board, profile: Profile, stop: Stop, files: dict[str, str]) -> dict[str, Any]:
    return {
        "stop_reason": stop.reason,
        "cycles": profile.total_cycles,
        "instructions": profile.total_instructions,
        "functions": [asdict(cost) for cost in profile.functions()],
        "lines": [asdict(cost) for cost in profile.lines() if cost.cycles],
        "stacks": [asdict(use) | {"bytes": use.bytes} for use in profile.stacks()],
        "coverage": coverage(profile),
        "lost_calls": profile.lost_calls,
        "uart0": board.uart0.sent.decode("utf-8", "replace"),
        "files": files,
    }


def _table(profile: Profile, top: int) -> str:
    """The functions with the most cycles, then lines, stack and coverage."""
    total = max(1, profile.total_cycles)
    costs = profile.functions()
    out = [f"{'cycles':>14} {'%':>6} {'with callees':>14} {'%':>6} {'calls':>10}  function"]
    for cost in costs[:top]:
        place = f"  {cost.file}:{cost.line}" if cost.file else ""
        out.append(
            f"{cost.cycles:>14,} {100 * cost.cycles / total:>6.2f} {cost.inclusive_cycles:>14,} "
            f"{100 * cost.inclusive_cycles / total:>6.2f} {cost.calls:>10,}  {cost.name}{place}"
        )
    if len(costs) > top:
        rest = sum(cost.cycles for cost in costs[top:])
        out.append(f"{rest:>14,} {100 * rest / total:>6.2f} {'':>32}  {len(costs) - top} others")
    out.append(f"{total:>14,} cycles, {profile.total_instructions:,} instructions")
    lines = sorted((cost for cost in profile.lines() if cost.cycles), key=lambda cost: -cost.cycles)
    out += [f"{cost.cycles:>14,} {100 * cost.cycles / total:>6.2f}  {cost.file}:{cost.line}" for cost in lines[:top]]
    for use in profile.stacks():
        out.append(f"stack of core {use.core}: {use.bytes:,} bytes, down to 0x{use.lowest:08x}")
    covered = coverage(profile)
    parts = [
        f"{covered[f'{what}_run']:,} of {covered[what]:,} {what} ({100 * covered[f'{what}_run'] / covered[what]:.1f} %)"
        for what in ("lines", "functions")
        if covered[what]
    ]
    out += [f"ran {', '.join(parts)}"] if parts else ["no symbols: give the ELF file with --elf for names and lines"]
    if profile.lost_calls:
        out.append(f"{profile.lost_calls:,} calls were too deep to follow; their cycles are their callers'")
    return "\n".join(out) + "\n"


def trace_file(path: Path, options: RunOptions, elf: Path | None, last: int) -> int:
    """Run a file and print the last instructions before it stopped; the exit code. Raises BadInputError."""
    board = prepare(path, options)
    if elf is not None:
        board.load_symbols(elf)
    with Trace(board, last) as trace:
        stop = run_prepared(board, options)
    if options.as_json:
        entries = list(trace.entries())
        faults = [asdict(fault) for fault in stop.faults]
        print(json.dumps({"stop_reason": stop.reason, "pc": stop.pc, "faults": faults, "trace": entries}))  # noqa: T201
    else:
        for line in trace.lines():
            write_stdout(f"{line}\n".encode())
        tell(board, stop)
    return exit_code(board, stop, options)
