"""`crustwatch purge`: delete images that are older, or more, than they may be."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def purge(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FOLDER]...", help="A worker's --archive, or a gateway's --store."),
    ] = None,
    days: Annotated[float | None, typer.Option(min=0, help="Delete what is older.")] = None,
    max_bytes: Annotated[
        float | None, typer.Option(min=0, help="Delete the oldest until no more than this is left in each folder.")
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="JPEG and PNG files too, such as the demo's, not only clips.")
    ] = False,
    outbox: Annotated[
        list[Path] | None,
        typer.Option(help="Outbox of a gateway that is stopped: its file still holds clips that were deleted."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Delete images that have expired by age or size; decisions without images stay.

    Example: crustwatch purge archive --days 30 --max-bytes 10e9

    Example: crustwatch purge bakes-store --days 90

    Example: crustwatch purge --outbox crustwatch-outbox.db
    """
    import json as json_module
    import time

    from edge.loop.store import Store, is_store
    from shared.errors import BadInputError
    from shared.retention import limits
    from shared.retention import purge as run

    if folders and days is None and max_bytes is None:
        raise BadInputError("purge deletes by --days, by --max-bytes, or by both: name one")
    if not folders and not outbox:
        raise BadInputError("nothing to purge: name a folder or --outbox FILE")
    suffixes = (".clip", ".jpg", ".jpeg", ".png") if pictures else (".clip",)
    kept = limits(days, max_bytes)
    told: dict[str, dict[str, int]] = {}
    for folder in folders or ():
        if is_store(folder):
            told[str(folder)] = Store.open(folder).purge(kept, time.time(), dry_run=dry_run)._asdict()
        else:
            told[str(folder)] = run(folder, suffixes, kept, time.time(), dry_run=dry_run)._asdict()
    for path in outbox or ():
        if not path.exists():
            raise BadInputError(f"{path}: no such file")
        before = _outbox_bytes(path)
        if not dry_run:
            _vacuum(path)
        kept_bytes = _outbox_bytes(path)
        told[str(path)] = {"bytes": before - kept_bytes, "kept_bytes": kept_bytes}
    if json:
        typer.echo(json_module.dumps({"dry_run": dry_run, "purged": told}))
        return
    verb = "would delete" if dry_run else "deleted"
    for name, figures in told.items():
        many = f"{figures['files']} files, " if "files" in figures else ""
        typer.echo(f"{name}: {verb} {many}{figures['bytes']} bytes; {figures['kept_bytes']} bytes stay")


def _outbox_bytes(path: Path) -> int:
    """Of the database and its clips."""
    files = (path, path.with_name(f"{path.name}-clips"))
    return sum(file.stat().st_size for file in files if file.exists())


def _vacuum(path: Path) -> None:
    import contextlib

    from edge.gateway.outbox import OutboxConfig
    from edge.gateway.storage import Storage

    with contextlib.closing(Storage(path, "FULL", OutboxConfig().max_file_bytes)) as storage:
        storage.forget_deleted()
