"""`crustwatch render`: rendered clips with their truth, as files or as a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Render clips of pizzas on a belt, with the truth about each.", add_completion=False)


@app.command()
def render(
    count: Annotated[int, typer.Option(help="Bakes to render.")] = 50,
    seed: Annotated[int, typer.Option(help="Same seed, same bakes.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to: one folder a bake, written as it is made.")
    ] = None,
    contact_sheet: Annotated[Path | None, typer.Option(help="Picture (.png, .jpg) that shows all bakes.")] = None,
    processes: Annotated[int, typer.Option(help="Bakes rendered at a time.")] = 1,
    shift: Annotated[
        str | None, typer.Option(help="The same pizzas in a bakery that has changed: new-topping or new-light.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object at the end.")] = False,
) -> None:
    """Render clips of pizzas on a belt: 8 frames, depth, and truth a bake. Give --out, --contact-sheet or both.

    Example: crustwatch render --count 50 --seed 1 --out bakes

    Example: crustwatch render --count 20 --seed 1 --shift new-topping --contact-sheet shifted.png
    """
    import sys
    import time
    from collections import Counter

    import msgspec

    from shared.bakery.bake import iter_bakes
    from shared.bakery.files import write_bake
    from shared.bakery.sheet import check_sheet, draw_strip, write_sheet
    from shared.bakery.truth import parse_shift
    from shared.errors import BadInputError
    from shared.output_folder import output_folder

    if count < 1:
        raise BadInputError(f"--count must be 1 or more, not {count}")
    if out is None and contact_sheet is None:
        raise BadInputError("give --out DIR, --contact-sheet FILE, or both")
    changed = parse_shift(shift)
    labels: Counter[str] = Counter()
    strips = []
    started = time.perf_counter()
    # Shown on a terminal only, and on the error stream, so that --json stays clean.
    stream = iter_bakes(seed, count, processes, shift=changed)
    if out is not None:
        output_folder(out)
    if contact_sheet is not None:
        check_sheet(contact_sheet)
    with typer.progressbar(stream, length=count, label="rendering", file=sys.stderr) as bakes:
        for bake in bakes:
            if out is not None:
                write_bake(out, bake.frames, bake.depth, bake.truth)
            if contact_sheet is not None:
                strips.append(draw_strip(bake.frames, bake.truth))
            labels[bake.truth.doneness] += 1
    if contact_sheet is not None:
        write_sheet(contact_sheet, strips)
    seconds = time.perf_counter() - started
    if json:
        summary = {
            "bakes": count,
            "seed": seed,
            "shift": changed,
            "out": None if out is None else str(out),
            "contact_sheet": None if contact_sheet is None else str(contact_sheet),
            "labels": dict(labels),
            "seconds": round(seconds, 3),
            "bakes_per_second": round(count / seconds, 2),
            "data": "rendered",
        }
        typer.echo(msgspec.json.encode(summary).decode())
        return
    after = f" after {changed}" if changed else ""
    typer.echo(f"{count} rendered bakes of seed {seed}{after} in {seconds:.1f} s ({count / seconds:.1f} a second)")
