"""A short campaign of faults with each broker; `make chaos SEEDS=200` runs the long ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from chaos_campaign import Report
from faulty_broker import matches
from run import Process, left_of, recorded
from schedule import KINDS, plan
from witness import Witness, violations

from edge.gateway.outbox import Outbox, OutboxConfig
from edge.gateway.verdicts import edge_final, from_edge
from shared.broker import mosquitto
from shared.messages import Classification, LineVerdict, encode
from shared.task import load_task
from shared.topics import Line

RUN = Path(__file__).parent.parent / "chaos" / "run.py"
TASK = load_task("pizza")


@pytest.mark.skipif(mosquitto.find_mosquitto() is None, reason="needs mosquitto: apt-get install mosquitto")
def test_two_short_campaigns_lose_nothing() -> None:
    command = [sys.executable, str(RUN), "campaigns", "--seeds", "2", "--bakes", "60", "--jobs", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("0 lost, 0 double finals, all ended clean") == 2


def test_a_seed_names_the_same_faults_and_two_in_a_row_have_every_kind() -> None:
    assert plan(7, 500) == plan(7, 500) != plan(9, 500)
    for seed in range(0, 40, 2):
        kinds = {fault.kind for number in (seed, seed + 1) for fault in plan(number, 500).faults}
        assert kinds == set(KINDS)


def test_topic_filters() -> None:
    assert matches("cw/1/#", "cw/1/a/b")
    assert matches("cw/+/a", "cw/1/a")
    assert not matches("cw/+/a", "cw/1/b")
    assert not matches("cw/1", "cw/1/a")
    assert not matches("cw/1/a", "cw/1")


def verdict(number: int) -> LineVerdict:
    edge = Classification("golden", (0, 0, 9, 0, 0), 0.6, False, "unsure", 1.0, "emulated")
    return from_edge(TASK, number.to_bytes(16, "big"), f"bake-{number}", edge, 0, 0, "unsure")


def test_the_witness_notices_what_is_lost_doubled_or_mixed_up(tmp_path: Path) -> None:
    """The checker itself, on an outbox that kept its promises and topics that did not."""
    path, seen = tmp_path / "outbox.db", Witness(Line.of("chaos", "oven-1"))
    outbox = Outbox(path, TASK, OutboxConfig(synchronous="NORMAL"))
    for number in (1, 2, 3, 4):
        final = edge_final(verdict(number), "budget", 5)
        outbox.accept_final("belt", final)
        if number != 2:
            seen._verdict(encode(final))
    while (waiting := outbox.next_announcement()) is not None:
        outbox.announced(waiting.number)
    assert violations(seen, path, ["bake-1", "bake-3", "bake-4"], 40, 1000) == []
    seen._verdict(encode(edge_final(verdict(3), "timeout", 6)))
    seen._verdict(
        encode(edge_final(from_edge(TASK, bytes(16), "bake-4", verdict(4).edge, 0, 0, "unsure"), "budget", 5))
    )
    seen.largest_backlog = 41
    found = violations(seen, path, ["bake-1", "bake-2", "bake-3", "bake-4", "bake-5"], 40, 1000)
    assert found == [
        "bake-2: no final verdict was published",
        "bake-3: 2 different final verdicts",
        "bake-4: 2 ids",
        "bake-5: lost, neither in the database nor on a topic",
        "41 bakes in the outbox, at most 40 are allowed",
    ]
    outbox.close()


def test_a_decoder_that_outlived_its_worker_is_left_over() -> None:
    """It has a session of its own, so that the campaign's does not name it."""
    decoder = "python -m shared.decoder_child "
    running = {
        1: Process(0, 1, "init "),
        10: Process(1, 10, "python run.py "),
        20: Process(10, 20, "python chaos_worker.py "),
        21: Process(20, 21, decoder),  # of a worker of this session
        30: Process(10, 30, "python chaos_worker.py "),
        31: Process(30, 31, decoder),  # of another campaign, at work
        41: Process(1, 41, decoder),  # of nobody
    }
    assert left_of(20, running) == {20, 21, 41}
    assert left_of(99, running) == {41}


def test_a_campaign_that_kept_its_promises_is_not_run_again(tmp_path: Path) -> None:
    record = tmp_path / "record.jsonl"
    assert recorded(record, range(9), 500) == []
    good, bad = Report(3, 500, [], 1.0, {}, 0, 0, 0, [], 0), Report(4, 500, ["lost"], 1.0, {}, 0, 0, 0, [], 0)
    lines = [msgspec.json.encode(report) for report in (good, bad, msgspec.structs.replace(good, seed=10))]
    record.write_bytes(b"\n".join(lines) + b"\n" + lines[0][:20])  # the machine went down in mid line
    assert recorded(record, range(9), 500) == [good]
    assert recorded(record, range(9), 60) == []
