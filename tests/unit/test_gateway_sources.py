"""Real input as a source: photographs, clips, videos, and everything that is none of these."""

from __future__ import annotations

import os
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge.gateway.sources import Skipped, SourceBake, SourceItem, open_path
from edge.gateway.sources.files import evenly
from shared.errors import BadInputError
from shared.images import read_image_file


def photograph(path: Path, level: int, size: tuple[int, int] = (64, 48)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)


def film(path: Path, frames: int, rate: int = 10) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), min(255, 4 * number), np.uint8), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def bakes(items: list[SourceItem]) -> list[SourceBake]:
    return [item for item in items if isinstance(item, SourceBake)]


def skipped(items: list[SourceItem]) -> dict[str, str]:
    return {item.name: item.reason for item in items if isinstance(item, Skipped)}


def test_each_photograph_is_a_bake_of_one_frame(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png", 10)
    photograph(tmp_path / "b.jpg", 20, (1600, 1200))
    (tmp_path / "notes.txt").write_text("flour")
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "b.jpg").read_bytes()[:600])
    items = list(open_path(tmp_path, 8))
    assert [(bake.name, len(bake.frames), bake.key) for bake in bakes(items)] == [("a.png", 1, 0), ("b.jpg", 1, 0)]
    assert bakes(items)[1].frames[0].shape == (480, 640, 3)
    assert skipped(items).keys() == {"notes.txt", "broken.jpg"}
    assert "no image that can be read" in skipped(items)["notes.txt"]


def test_each_subfolder_is_a_clip_in_natural_order(tmp_path: Path) -> None:
    for number in range(12):
        photograph(tmp_path / "pizza-1" / f"frame-{number}.png", 10 * number)
        photograph(tmp_path / "pizza-1" / f"depth-{number}.png", 255)
    (tmp_path / "pizza-1" / "truth.json").write_text('{"doneness": "dark", "seed": 1}')
    (tmp_path / "empty").mkdir()
    items = list(open_path(tmp_path, 8))
    [clip] = bakes(items)
    levels = [int(frame[0, 0, 0]) // 10 for frame in clip.frames]
    assert levels == [0, 2, 3, 5, 6, 8, 9, 11]
    assert clip.key == 4
    assert clip.picture.endswith("frame-6.png")
    assert clip.truth == "dark"
    assert skipped(items) == {"empty/": "a folder without images"}


def test_a_video_is_cut_into_bakes_of_evenly_spread_frames(tmp_path: Path) -> None:
    film(tmp_path / "belt.mp4", 50)  # 5 s at 10 a second: two pieces of 2 s and a rest of 1 s
    items = bakes(list(open_path(tmp_path / "belt.mp4", 8)))
    assert [item.name for item in items] == ["belt.mp4#0", "belt.mp4#1", "belt.mp4#2"]
    assert [len(item.frames) for item in items] == [8, 8, 4]
    assert items[0].offsets_us == (0, 300_000, 500_000, 800_000, 1_100_000, 1_400_000, 1_600_000, 1_900_000)
    assert int(items[1].frames[0].mean()) == pytest.approx(4 * 20, abs=6)


def test_a_short_video_is_one_bake(tmp_path: Path) -> None:
    film(tmp_path / "short.mp4", 3)
    assert len(bakes(list(open_path(tmp_path / "short.mp4", 8)))) == 1


def test_a_truncated_video_gives_what_it_holds(tmp_path: Path) -> None:
    film(tmp_path / "whole.avi", 60)
    data = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) * 9 // 10])
    items = list(open_path(tmp_path / "cut.avi", 8))
    assert items
    assert all(len(item.frames) <= 8 for item in bakes(items))


@pytest.mark.parametrize("data", [b"", b"flour, water, salt", bytes(4096)])
def test_a_file_that_is_no_video_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "recipe.mp4").write_bytes(data)
    with pytest.raises(BadInputError, match=r"recipe\.mp4: not a video"):
        list(open_path(tmp_path / "recipe.mp4", 8))


def test_a_missing_path_says_what_would_be_right(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file or folder"):
        open_path(tmp_path / "nothing", 8)


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert skipped(list(open_path(tmp_path, 8))) == {"pipe.jpg": "not a regular file"}


def test_a_large_clip_is_sampled_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(300):
        photograph(tmp_path / "roll" / f"{number}.png", number % 256)
    read: list[str] = []

    def reading(path: Path, side: int) -> NDArray[np.uint8]:
        read.append(path.name)
        return read_image_file(path, side)

    monkeypatch.setattr("edge.gateway.sources.files.read_image_file", reading)
    [clip] = bakes(list(open_path(tmp_path, 8)))
    assert len(clip.frames) == len(read) == 8


@pytest.mark.parametrize(("count", "wanted"), [(0, 8), (1, 8), (8, 8), (9, 8), (100, 8), (3, 1)])
def test_evenly_spread_indices_are_different_and_sorted(count: int, wanted: int) -> None:
    found = evenly(count, wanted)
    assert len(found) == min(count, wanted)
    assert found == sorted(set(found))
    assert not count or found[0] == 0
    assert wanted == 1 or not count or found[-1] == count - 1


def test_names_that_no_message_or_terminal_could_carry_are_shown_without_harm(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg", 90)
    for name in ("caf\udce9.jpg", "two\nlines.jpg", "\x1b[31mred.jpg"):  # \udce9: a byte that is not UTF-8
        (tmp_path / name).write_bytes((tmp_path / "a.jpg").read_bytes())
    found = bakes(list(open_path(tmp_path, 8)))
    assert sorted(bake.name for bake in found) == ["?[31mred.jpg", "a.jpg", "caf?.jpg", "two?lines.jpg"]
    assert all(bake.picture.encode() for bake in found)
