"""`crustwatch demo` as people run it: what it prints, what survives kill -9, and what Ctrl-C leaves behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

KEYS = {
    "bakes", "finals", "lost", "duplicates", "edge_accuracy", "cascade_accuracy", "escalation_rate", "edge_ms",
    "cloud_s_p50", "e2e_s_p50", "e2e_s_p99", "data",
}  # fmt: skip
PATIENCE_S = 300  # before a run is given up
DEMO = [sys.executable, "-m", "shared.cli", "demo"]


@contextmanager
def demo(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running demo; killed when the test is done or out of patience."""
    command = [*DEMO, *arguments]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    watchdog = threading.Timer(PATIENCE_S, child.kill)
    watchdog.start()
    try:
        yield child
    finally:
        watchdog.cancel()
        child.kill()
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def lines(child: subprocess.Popen[str]) -> Iterator[str]:
    assert child.stdout is not None
    for line in child.stdout:
        yield line.rstrip("\n")


def result(output: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(output[-1])
    assert found.keys() >= KEYS
    return found


def descendants(pid: int) -> set[int]:
    """Process ids of all children of children of `pid`, from /proc."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if fields[0] != "Z":
            parents[int(stat.parent.name)] = int(fields[1])
    found: set[int] = set()
    while grown := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= grown
    return found


def test_every_bake_has_one_verdict_though_the_worker_is_killed(tmp_path: Path) -> None:
    output, killed = [], None
    with demo("--bakes", "12", "--seed", "7", "--json", "--out", str(tmp_path)) as child:
        workers: list[int] = []
        for line in lines(child):
            output.append(line)
            if found := re.match(r"worker \S+: pid (\d+)", line):
                workers.append(int(found.group(1)))
            if killed is None and line.startswith("3/12 "):
                killed = workers[-1]
                os.kill(killed, signal.SIGKILL)
        assert child.wait() == 0, "\n".join(output)
    assert killed is not None
    assert len(workers) == 2, "the worker was not started again"
    found_figures = result(output)
    assert (found_figures["bakes"], found_figures["finals"]) == (12, 12)
    assert (found_figures["lost"], found_figures["duplicates"], found_figures["timeouts"]) == (0, 0, 0)
    assert found_figures["data"] == "rendered"
    assert found_figures["edge_timing"] == "emulated"
    assert found_figures["edge_ms"] > 1.0
    assert 0.0 <= found_figures["escalation_rate"] <= 1.0
    assert len(list((tmp_path / "pictures").glob("*.jpg"))) == 12


def test_photographs_need_no_ground_truth_and_other_files_are_named(tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for level in (40, 120, 200):
        Image.new("RGB", (320, 240), (level, level // 2, 20)).save(photographs / f"pizza-{level}.jpg")
    (photographs / "notes.txt").write_text("flour, water, salt")
    (photographs / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with demo("--input", str(photographs), "--json", "--device", "reference", "--broker", "iotcore") as child:
        output = list(lines(child))
        assert child.wait() == 0, "\n".join(output)
    found = result(output)
    assert (found["bakes"], found["finals"], found["lost"], found["duplicates"]) == (3, 3, 0, 0)
    assert found["data"] == "user"
    assert found["edge_accuracy"] is None
    assert found["cascade_accuracy"] is None
    named = [line for line in output if line.startswith("skipped ")]
    assert sorted(line.split(":")[0] for line in named) == ["skipped broken.png", "skipped notes.txt"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_everything_within_3_s(stop: signal.Signals) -> None:
    with demo("--bakes", "500", "--device", "reference") as child:
        for line in lines(child):
            if line.startswith("2/500 "):
                break
        family = descendants(child.pid)
        assert len(family) >= 3, "broker, worker and renderer should be running"
        started = time.monotonic()
        os.killpg(child.pid, stop)  # as a terminal does on Ctrl-C
        child.wait()
        assert time.monotonic() - started < 3.0
        left = {pid for pid in family if Path(f"/proc/{pid}/cmdline").exists() and is_alive(pid)}
        assert not left


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--input", "no-such-folder"), "no such file or folder"),
        (("--device", "toaster"), "no device 'toaster'"),
        (("--broker", "pigeon"), "--broker is auto, mosquitto or iotcore"),
    ],
)
def test_bad_options_are_one_line_and_exit_2(arguments: tuple[str, ...], words: str) -> None:
    done = subprocess.run([*DEMO, *arguments], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 2
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("crustwatch: ")
    assert words in line


def test_a_worker_without_weights_is_named() -> None:
    command = [*DEMO, "--bakes", "1", "--device", "reference", "--checkpoint", "no-such-checkpoint"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert "the worker cannot start: no checkpoint 'no-such-checkpoint'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_kills_its_own_parts_and_loses_nothing() -> None:
    with demo("--chaos", "--bakes", "10", "--seed", "3", "--json", "--device", "reference") as child:
        output = list(lines(child))
        assert child.wait() == 0, "\n".join(output)
    found = result(output)
    assert (found["bakes"], found["finals"], found["lost"], found["duplicates"]) == (10, 10, 0, 0)
    kills = [line.split()[5].rstrip(",") for line in output if line.startswith("chaos: kill -9 of the ")]
    assert len(kills) >= 2
    assert {part: kills.count(part) for part in found["killed"]} == found["killed"]
