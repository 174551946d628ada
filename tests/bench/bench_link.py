"""`make bench-link`: what the link costs beside raw paho-mqtt. Ratios are taken in turns within one run.

python tests/bench/bench_link.py request --json
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

sys.path.insert(0, str(Path(__file__).parents[2]))  # as a script, from anywhere

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def show(figures: Any, as_json: bool) -> None:
    """Print a dataclass of figures, one a line or as JSON."""
    fields = asdict(figures)
    if as_json:
        typer.echo(json.dumps(fields))
        return
    for name, value in fields.items():
        typer.echo(f"{name:24} {value}")


@app.callback()
def bench_link() -> None:
    """Measure the link between gateways, broker and workers."""


@app.command()
def request(
    requests: Annotated[int, typer.Option(min=20, help="Requests of each side, in turns.")] = 1000,
    batches: Annotated[int, typer.Option(min=1, help="Measurements of throughput of each side, in turns.")] = 5,
    sealed: Annotated[bool, typer.Option(help="An experiment without: what seals cost.")] = True,
    synchronous: Annotated[str, typer.Option(help="An experiment with NORMAL: what the disk costs.")] = "FULL",
    as_json: Json = False,
) -> None:
    """Request to response of a 300 KB clip, and throughput at saturation, against raw paho on the same mosquitto.

    Example: python tests/bench/bench_link.py request --requests 1000
    """
    import bench_request

    show(bench_request.measure(requests, batches, sealed, synchronous), as_json)


@app.command()
def recovery(
    queued: Annotated[int, typer.Option(min=10, help="Bakes that wait when the link comes up.")] = 50_000,
    outage: Annotated[int, typer.Option(min=1, help="Seconds of outage that their times are spread over.")] = 600,
    live: Annotated[float, typer.Option(min=0.1, help="Bakes a second that arrive meanwhile.")] = 5.0,
    clip: Annotated[int, typer.Option(min=1000, help="Bytes of a clip.")] = 6000,
    as_json: Json = False,
) -> None:
    """A long outage ends: the backlog in order of priority, the live line without waiting for it.

    Example: python tests/bench/bench_link.py recovery --queued 2000 --outage 60
    """
    import bench_recovery

    show(bench_recovery.measure(queued, outage, live, clip), as_json)


@app.command()
def fleet(
    gateways: Annotated[int, typer.Option(min=1, help="Gateways, each with its own outbox and connection.")] = 1000,
    processes: Annotated[int, typer.Option(min=1, help="Processes that host them.")] = 4,
    seconds: Annotated[float, typer.Option(min=1, help="How long they bake.")] = 300.0,
    rate: Annotated[float, typer.Option(min=0.01, help="Bakes a second of each gateway.")] = 1.0,
    escalated: Annotated[float, typer.Option(min=0, max=1, help="Share of bakes that the cloud is asked about.")] = 0.1,
    clip: Annotated[int, typer.Option(min=1000, help="Bytes of a clip.")] = 30_000,
    snapshot: Annotated[int, typer.Option(min=100, help="Bytes of the retained picture of each bake.")] = 4000,
    synchronous: Annotated[str, typer.Option(help="FULL: fsync for each gateway, all on this one disk.")] = "NORMAL",
    sealed: Annotated[bool, typer.Option(help="Each gateway has a key and seals; the worker checks.")] = True,
    as_json: Json = False,
) -> None:
    """A thousand gateways at a bake a second each on one broker: sustained or not, latencies, memory over time.

    Example: python tests/bench/bench_link.py fleet --gateways 100 --seconds 30
    """
    import bench_fleet

    order = bench_fleet.FleetOrder(0, "", 0, 0, seconds, rate, escalated, clip, snapshot, synchronous, sealed)
    show(bench_fleet.measure(order, gateways, processes), as_json)


if __name__ == "__main__":
    app()
