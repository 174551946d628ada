"""`crustwatch cloud bench`."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def bench(
    size: Annotated[
        str, typer.Option(help="small: the ratios; full: the full-size network, with --random-weights.")
    ] = "small",
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Noise instead of a checkpoint.")] = False,
    dtype: Annotated[str, typer.Option(help="Of the full size: bfloat16, float16 or float32.")] = "bfloat16",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to torch.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")] = False,
) -> None:
    """Measure what batches, one geometry pass, fewer layers and the cache are worth, or run the full size once.

    Example: crustwatch cloud bench
    """
    from cloud.bench.commands import run_bench

    run_bench(size, random_weights, dtype, threads, as_json)
