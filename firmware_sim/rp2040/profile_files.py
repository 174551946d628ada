"""A profile as files for other tools: speedscope (flame graphs), callgrind (KCachegrind), lcov (coverage)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from firmware_sim.rp2040.layout import FLASH_BASE, FLASH_OFFSET, SRAM_BASE, SRAM_OFFSET
from firmware_sim.rp2040.profile import FunctionCost, Profile
from shared import __version__

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
NO_FILE = "???"  # callgrind's name for an unknown file


def speedscope(profile: Profile, title: str) -> dict[str, Any]:
    """The object of a speedscope file: one profile a core, one sample a chain of calls, weighted with its cycles."""
    nodes = profile.nodes
    frames: dict[str, int] = {}
    shared: list[dict[str, Any]] = []
    numbers: list[int] = []
    for node in nodes:
        if node.name not in frames:
            frames[node.name] = len(shared)
            file, line = profile.place(node.address) if node.parent >= 0 else ("", 0)
            shared.append({"name": node.name} | ({"file": file, "line": line} if file else {}))
        numbers.append(frames[node.name])
    chains: list[list[int]] = []
    roots: list[int] = []
    for i, node in enumerate(nodes):
        chains.append([*chains[node.parent], numbers[i]] if node.parent >= 0 else [numbers[i]])
        roots.append(roots[node.parent] if node.parent >= 0 else i)
    profiles = []
    for root in (i for i, node in enumerate(nodes) if node.parent < 0 and node.inclusive_cycles):
        mine = [i for i, node in enumerate(nodes) if roots[i] == root and node.cycles]
        profiles.append(
            {
                "type": "sampled",
                "name": f"{title}, core {root}, cycles",
                "unit": "none",
                "startValue": 0,
                "endValue": nodes[root].inclusive_cycles,
                "samples": [chains[i] for i in mine],
                "weights": [nodes[i].cycles for i in mine],
            }
        )
    return {
        "$schema": SCHEMA,
        "name": title,
        "exporter": f"crustwatch {__version__}",
        "activeProfileIndex": 0,
        "shared": {"frames": shared},
        "profiles": profiles,
    }


def _address(half: int) -> int:
    """Address of a halfword of the memory; what is neither SRAM nor flash keeps its offset."""
    offset = 2 * half
    if offset >= FLASH_OFFSET:
        return offset - FLASH_OFFSET + FLASH_BASE
    return offset - SRAM_OFFSET + SRAM_BASE if offset >= SRAM_OFFSET else offset


def _edges(profile: Profile) -> dict[tuple[int, int, int], list[int]]:
    """(caller, call site, callee) to calls, inclusive cycles and instructions; an edge inside itself counts once."""
    nodes = profile.nodes
    above: list[frozenset[tuple[int, int]]] = []
    sums: dict[tuple[int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for node in nodes:
        if node.parent < 0 or nodes[node.parent].parent < 0:
            above.append(frozenset())
            continue
        edge = (nodes[node.parent].address, node.address)
        edges = above[node.parent]
        above.append(edges | {edge})
        total = sums[edge[0], node.site, edge[1]]
        total[0] += max(1, node.calls)
        if edge not in edges:
            total[1] += node.inclusive_cycles
            total[2] += node.inclusive_instructions
    return sums


def callgrind(profile: Profile, title: str) -> str:
    """A callgrind file with cycles and instructions by address and line, and inclusive cycles of the calls."""
    costs = profile.functions()
    callers: dict[int, list[tuple[int, int, list[int]]]] = defaultdict(list)
    for (caller, site, callee), total in sorted(_edges(profile).items()):
        callers[caller].append((site, callee, total))
    out = [
        "# callgrind format",
        "version: 1",
        f"creator: crustwatch {__version__}",
        f"cmd: {title}",
        "positions: instr line",
        "events: Cycles Instructions",
        f"summary: {profile.total_cycles} {profile.total_instructions}",
        "",
    ]
    known = {cost.address: cost for cost in costs}
    for cost in sorted(costs, key=lambda cost: cost.address):
        out += [f"fl={cost.file or NO_FILE}", f"fn={cost.name}"]
        out += _own_lines(profile, cost)
        for site, callee, (calls, cycles, instructions) in callers[cost.address]:
            target = known[callee]
            out += [
                f"cfi={target.file or NO_FILE}",
                f"cfn={target.name}",
                f"calls={calls} {_hex(target.address)} {target.line}",
                f"{_hex(site)} {profile.place(site)[1]} {cycles} {instructions}",
            ]
        out.append("")
    out.append(f"totals: {profile.total_cycles} {profile.total_instructions}")
    return "\n".join(out) + "\n"


def _hex(address: int) -> str:
    return f"0x{max(0, address):x}"


def _own_lines(profile: Profile, cost: FunctionCost) -> list[str]:
    """Cost lines of a function: by instruction where a symbol says what is the function, else one."""
    symbol = profile.symbols.function_at(cost.address)
    rows = []
    if symbol is not None and symbol.address == cost.address:
        base = cost.address
        offset = base - FLASH_BASE + FLASH_OFFSET if base < SRAM_BASE else base - SRAM_BASE + SRAM_OFFSET
        rows = [
            (_address(half), int(profile.cycles[half]), int(profile.counts[half]))
            for half in range(offset // 2, (offset + symbol.size + 1) // 2)
            if profile.cycles[half] or profile.counts[half]
        ]
    rest = (cost.cycles - sum(row[1] for row in rows), cost.instructions - sum(row[2] for row in rows))
    lines = [f"{_hex(at)} {profile.place(at)[1]} {cycles} {count}" for at, cycles, count in rows]
    if rest != (0, 0) or not lines:
        lines.append(f"{_hex(cost.address)} {cost.line} {rest[0]} {rest[1]}")
    return lines


def lcov(profile: Profile, title: str) -> str:
    """A tracefile of lcov: which lines and functions with debug information ran, and how often."""
    lines = defaultdict(list)
    for cost in profile.lines():
        lines[cost.file].append(cost)
    calls = {cost.address: cost.calls for cost in profile.functions()}
    functions = defaultdict(list)
    for symbol in profile.symbols.functions:
        file, line = profile.place(symbol.address)
        if file:
            functions[file].append((line, symbol.name, calls.get(symbol.address, 0)))
    out = []
    for file in sorted(lines):
        out += [f"TN:{''.join(c if c.isalnum() else '_' for c in title)}", f"SF:{file}"]
        mine = sorted(functions[file])
        out += [f"FN:{line},{name}" for line, name, _ in mine]
        out += [f"FNDA:{count},{name}" for _, name, count in mine]
        out += [f"FNF:{len(mine)}", f"FNH:{sum(count > 0 for *_, count in mine)}"]
        out += [f"DA:{cost.line},{cost.count}" for cost in lines[file]]
        out += [f"LF:{len(lines[file])}", f"LH:{sum(cost.count > 0 for cost in lines[file])}", "end_of_record"]
    return "\n".join(out) + "\n"


def coverage(profile: Profile) -> dict[str, int]:
    """Lines and functions that there are, and that ran."""
    lines = profile.lines()
    ran = {cost.address for cost in profile.functions() if cost.calls}
    functions = profile.symbols.functions
    return {
        "lines": len(lines),
        "lines_run": sum(cost.count > 0 for cost in lines),
        "functions": len(functions),
        "functions_run": sum(symbol.address in ran for symbol in functions),
    }
