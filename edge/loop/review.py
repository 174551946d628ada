"""`crustwatch edge review`: what waits for a person, least confident first, and what the person says."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from edge.loop.store import Store
from edge.loop.stored import Known, known_bakes
from shared.errors import BadInputError
from shared.images import read_image_file
from shared.resize import square_resize

COLUMNS, TILE_PX, CAPTION_PX = 8, 128, 28
LISTED = ("id", "bake", "captured_us", "decision", "label", "probability", "frames", "key")


def run_review(folder: Path, bake_id: str, label: str, who: str, as_json: bool) -> None:
    """Note a person's word."""
    store = Store.open(folder)
    whole = store.add_review(bake_id, label, who, time.time_ns() // 1000)
    print(json.dumps({"id": whole, "label": label, "who": who}) if as_json else f"{whole}: {label}")  # noqa: T201


def run_list(folder: Path, count: int, sheet: Path | None, as_json: bool) -> None:
    """List, and draw, what most needs a person: first what nobody could tell, then where the cloud is least sure."""
    store = Store.open(folder)
    waiting = waiting_for_people(store)
    shown = waiting[:count]
    if sheet is not None:
        if not shown:
            raise BadInputError(f"{folder}: nothing waits for a person, so there is no sheet to draw")
        draw_sheet(store, shown, sheet)
    lines = [_line(known) for known in shown]
    if as_json:
        print(json.dumps({"waiting": len(waiting), "bakes": lines}))  # noqa: T201
        return
    print(f"{len(waiting)} bakes wait for a person, {len(shown)} shown, the least certain first")  # noqa: T201
    for line in lines:
        cloud = "cannot tell" if line["cloud"] is None else f"{line['cloud']} {line['cloud_confidence']:.2f}"
        print(f"{line['id']}  edge {line['edge']} {line['edge_confidence']:.2f}  cloud {cloud}  {line['bake']}")  # noqa: T201


def waiting_for_people(store: Store) -> list[Known]:
    """Bakes that no person has looked at, least certain first, the newest first among equals."""
    waiting = [known for known in known_bakes(store, LISTED) if known.person is None]
    return sorted(waiting, key=lambda known: (known.confidence, -known.row["captured_us"]))


def _line(known: Known) -> dict[str, Any]:
    return {
        "id": known.row["id"],
        "bake": known.row["bake"],
        "decision": known.row["decision"],
        "edge": known.row["label"],
        "edge_confidence": round(known.row["probability"], 4),
        "cloud": known.label,
        "cloud_confidence": round(known.confidence, 4),
    }


def draw_sheet(store: Store, shown: list[Known], path: Path) -> None:
    """A contact sheet of the frames that the edge classified. Raises BadInputError when it cannot be written."""
    rows = -(-len(shown) // COLUMNS)
    sheet = Image.new("RGB", (min(COLUMNS, len(shown)) * TILE_PX, rows * (TILE_PX + CAPTION_PX)))
    pen = ImageDraw.Draw(sheet)
    for number, known in enumerate(shown):
        left, top = number % COLUMNS * TILE_PX, number // COLUMNS * (TILE_PX + CAPTION_PX)
        files = store.frame_files(known.row["id"])
        try:
            frame = square_resize(read_image_file(files[min(known.row["key"], len(files) - 1)], 640), TILE_PX)
        except (BadInputError, IndexError):
            frame = np.zeros((TILE_PX, TILE_PX, 3), np.uint8)
        sheet.paste(Image.fromarray(frame), (left, top + CAPTION_PX))
        pen.text((left + 2, top + 1), known.row["id"][:12], fill=(255, 255, 255))
        pen.text((left + 2, top + 14), f"{known.row['label']} / {known.label or '?'}", fill=(255, 200, 120))
    try:
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot write the contact sheet {path}: {error}") from None
