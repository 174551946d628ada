"""`make chaos SEEDS=200`: campaigns of faults by seed, each in a process of its own, and what they prove."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import typer
from chaos_campaign import Report, run_campaign
from link_test_engine import write_pictures
from parts import ENVIRONMENT
from schedule import plan

from edge.devices.model import DEFAULT_MODEL
from firmware_sim.firmware.build import model_c
from firmware_sim.firmware.host import build_host_library
from shared.broker import mosquitto

DECODER = "shared.decoder_child"
NOTICE_S = 10.0  # for a decoder to end after its parent; it may be at work on a picture
PATIENCE_S = 1800.0  # before a campaign is given up

app = typer.Typer(add_completion=False)


def work_folder() -> Path:
    """A folder in memory where there is one: an fsync then costs nothing, and means as much to killed processes."""
    memory = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="crustwatch-chaos-", dir=memory if os.access(memory, os.W_OK) else None))


def prepare(folder: Path, bakes: int) -> Path | None:
    """Pictures and the board's library, once for all campaigns. None: no C compiler, so there is no board."""
    write_pictures(folder / "pictures", bakes)
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        return None
    build_host_library(model_c(DEFAULT_MODEL), folder / "board")
    return folder / "board" / "firmware.so"


class Process(NamedTuple):
    """One line of the table of processes."""

    parent: int
    session: int
    command: str


def processes() -> dict[int, Process]:
    """All that run, by their number, from /proc."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            command = stat.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if fields[0] != "Z":
            found[int(stat.parent.name)] = Process(int(fields[1]), int(fields[3]), command)
    return found


def left_of(session: int, running: dict[int, Process]) -> set[int]:
    """Which of the running processes belong to a session that has ended.

    A decoder of pictures has a session of its own: it belongs here when its parent does, and when it has lost its
    parent, of whichever campaign.
    """
    own = {number for number, process in running.items() if process.session == session}
    for number, process in running.items():
        if DECODER in process.command:
            parent = running.get(process.parent)
            if process.parent in own or process.parent == 1 or parent is None or "python" not in parent.command:
                own.add(number)
    return own


def in_session(session: int) -> list[str]:
    """Command lines of the processes that are left of a session; a decoder may first notice that its parent ended."""
    running = processes()
    left = left_of(session, running)
    patience_s = time.monotonic() + NOTICE_S
    while left and all(DECODER in running[number].command for number in left) and time.monotonic() < patience_s:
        time.sleep(0.1)
        running = processes()
        left &= left_of(session, running)
    return [running[number].command for number in sorted(left)]


def run_one(seed: int, bakes: int, folder: Path, keep: bool) -> Report:
    """One campaign as a session of its own; processes that outlive it are a violation."""
    own = folder / f"seed-{seed}"
    own.mkdir()
    command = [sys.executable, __file__, "one", str(seed), str(bakes), str(folder)]
    started_s = time.monotonic()
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, start_new_session=True
    )
    try:
        out, errors = child.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)
        out, errors = child.communicate()
    try:
        report = msgspec.json.decode(out, type=Report)
    except msgspec.MsgspecError:
        words = (errors.decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
        report = Report(
            seed, bakes, [f"the campaign itself failed: {words}"], time.monotonic() - started_s, {}, 0, 0, 0, [], 0
        )
        (own / "errors.log").write_bytes(errors)
    if left := in_session(child.pid):
        report.violations.append(f"processes are left: {left}")
    if not keep and not report.violations:
        shutil.rmtree(own)
    return report


@app.command()
def one(seed: int, bakes: int, folder: Path) -> None:
    """One campaign in a prepared folder; its report as JSON. For `campaigns`."""
    library = folder / "board" / "firmware.so"
    report = run_campaign(
        plan(seed, bakes), folder / f"seed-{seed}", folder / "pictures", library if library.exists() else None
    )
    sys.stdout.buffer.write(msgspec.json.encode(report))


def recorded(path: Path, wanted: range, bakes: int) -> list[Report]:
    """The reports in a record of an earlier run that was interrupted; those that broke a promise are run again."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    reports = [msgspec.json.decode(line, type=Report) for line in lines if line.endswith(b"}")]  # the last may be cut
    good = {r.seed: r for r in reports if r.seed in wanted and r.bakes == bakes and not r.violations}
    return list(good.values())


@app.command()
def campaigns(
    seeds: Annotated[int, typer.Option(min=1, help="How many campaigns.")] = 20,
    first: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    bakes: Annotated[int, typer.Option(min=30, max=4096, help="Bakes of each.")] = 500,
    jobs: Annotated[int, typer.Option(min=1, help="Campaigns at a time; they wait more than they work.")] = 4,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the folders with logs and databases.")] = False,
    record: Annotated[
        Path | None, typer.Option(help="Write each report there, a line of JSON, and do not run again what it holds.")
    ] = None,
) -> None:
    """Run campaigns; exit with 1 when a promise was broken, and say how to see it again.

    Example: make chaos SEEDS=200 RECORD=chaos.jsonl
    """
    if mosquitto.find_mosquitto() is None:
        sys.exit("chaos: mosquitto is not installed: apt-get install mosquitto")
    folder = work_folder()
    if prepare(folder, bakes) is None:
        print("no C compiler: the gateway classifies by itself, and nothing happens to a board", flush=True)  # noqa: T201
    wanted = range(first, first + seeds)
    reports = [] if record is None else recorded(record, wanted, bakes)
    if reports:
        print(f"{len(reports)} campaigns are recorded in {record}", flush=True)  # noqa: T201
    known = {report.seed for report in reports}
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(run_one, seed, bakes, folder, keep) for seed in wanted if seed not in known]
        for finished in as_completed(running):
            report = finished.result()
            reports.append(report)
            if record is not None:
                with record.open("ab") as lines:
                    lines.write(msgspec.json.encode(report) + b"\n")
            done = ", ".join(f"{kind} {count}" for kind, count in sorted(report.faults.items()))
            verdict = "; ".join(report.violations[:4]) or "0 lost, 0 double finals, all ended clean"
            print(f"seed {report.seed}: {verdict} ({report.seconds:.1f} s: {done})", flush=True)  # noqa: T201
    broken = sorted((report for report in reports if report.violations), key=lambda report: report.seed)
    _summary(reports, bakes)
    for report in broken:
        print(f"again: make chaos FIRST={report.seed} SEEDS=1 BAKES={bakes}; logs: {folder}/seed-{report.seed}")  # noqa: T201
    if not broken and not keep:
        shutil.rmtree(folder)
    if broken:
        sys.exit(1)


def _summary(reports: list[Report], bakes: int) -> None:
    faults: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    for report in reports:
        faults.update(report.faults)
        problems.update(report.problems)
    broken = sum(bool(report.violations) for report in reports)
    print(  # noqa: T201
        f"{len(reports)} campaigns of {bakes} bakes, {broken} with a broken promise\n"
        f"faults: {dict(sorted(faults.items()))}\n"
        f"verdicts repeated byte for byte: {sum(report.repeats for report in reports)}, corrections: "
        f"{sum(report.corrections for report in reports)}, shed: {sum(report.shed for report in reports)}\n"
        f"campaigns whose state topic named a problem: {dict(sorted(problems.items()))}\n"
        f"largest process: {max(report.peak_bytes for report in reports) / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    app()
