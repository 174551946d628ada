"""What `crustwatch cloud sample` finds and writes: the chosen frames, what they cover, and how that grows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from cloud.charts import line_chart
from cloud.media import Footage
from cloud.spatial_mllm.geometry_pass import choose, look
from cloud.spatial_mllm.model import SpatialMLLM
from cloud.spatial_mllm.processor import Processor
from cloud.spatial_mllm.sampling import VoxelCover, even_indices


@dataclass(frozen=True)
class Sampled:
    """Chosen frames.

    Attributes:
        method: "space", or "even" when the checkpoint has no point head.
        places: in the video, ascending.
        cover: voxels of each candidate; None for "even".
        candidates: places in the video of the candidates.
        order: of the candidates, as they were taken; indices into `candidates`.
    """

    method: str
    places: list[int]
    candidates: list[int]
    order: list[int]
    cover: VoxelCover | None

    def growth(self, taken: list[int]) -> list[tuple[float, float]]:
        """Voxels seen after each of `taken`, indices into the candidates: points (frames, voxels)."""
        if self.cover is None:
            return []
        seen: set[int] = set()
        points = [(0.0, 0.0)]
        for count, index in enumerate(taken, start=1):
            seen |= set(self.cover.voxels[index].tolist())
            points.append((float(count), float(len(seen))))
        return points


def sample(model: SpatialMLLM, processor: Processor, footage: Footage, count: int) -> Sampled:
    """Choose `count` frames by space; evenly when the checkpoint has no geometry or no point head."""
    if not model.config.geometry or model.config.vggt.point_head is None:
        places = [footage.places[index] for index in even_indices(len(footage.frames), count)]
        return Sampled("even", places, list(footage.places), [], None)
    geometry = look(model, processor, footage.frames)
    found = choose(geometry, count)
    index = {place: row for row, place in enumerate(geometry.candidates)}
    filled = [place for place in found.places if place not in found.order]
    return Sampled(
        "space",
        [footage.places[place] for place in found.places],
        [footage.places[place] for place in geometry.candidates],
        [index[place] for place in [*found.order, *filled]],
        found.cover,
    )


def write(found: Sampled, footage: Footage, out: Path) -> dict[str, object]:
    """Write the frames as PNG, `coverage.svg` and `sampling.json` to folder `out`; returns what the last holds."""
    rows = {place: row for row, place in enumerate(footage.places)}
    for place in found.places:
        Image.fromarray(footage.frames[rows[place]]).save(out / f"frame_{place:06d}.png")
    chosen = found.growth(found.order)
    even = found.growth(even_indices(len(found.candidates), len(found.places)))
    if chosen:
        lines = {"by space": chosen, "evenly": even}
        title = f"{footage.name}: space seen by {len(found.places)} of {len(found.candidates)} frames"
        (out / "coverage.svg").write_text(line_chart(title, lines, "frames", "voxels"), encoding="utf-8")
    report: dict[str, object] = {
        "video": footage.name,
        "method": found.method,
        "frames": found.places,
        "candidates": len(found.candidates),
        "voxels_by_space": chosen[-1][1] if chosen else None,
        "voxels_evenly": even[-1][1] if even else None,
    }
    (out / "sampling.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report
