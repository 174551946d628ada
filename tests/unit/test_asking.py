"""The commands that people type: ask, verdict, sample and depth, with the shipped model and with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import av
import numpy as np
import pytest
import torch
from cloud_command import crustwatch
from PIL import Image
from spatial_folder import write_folder

from cloud.asking.depth_report import coloured
from cloud.media import read_pictures
from shared.bakery.bake import render_bake
from shared.errors import BadInputError, CrustwatchError, MissingPartError

torch.set_num_threads(1)


def last(output: str) -> Any:
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture(scope="module")
def bake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the eight frames of a rendered bake, as a video has them."""
    frames = tmp_path_factory.mktemp("bake")
    for index, frame in enumerate(render_bake(3050, 1).frames):
        Image.fromarray(frame).save(frames / f"{index}.png")
    return frames


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory, bake: Path) -> Path:
    path = tmp_path_factory.mktemp("video") / "line.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for picture in read_pictures([bake])[0].frames * 2:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_ask_takes_videos_and_pictures_together(folder: Path, bake: Path, video: Path) -> None:
    asked = ["ask", "--model", folder, "--threads", 1, "--prompt", "How well?", "--max-tokens", 8, "--frames", 4]
    pictures = sorted(bake.iterdir())[:3]
    seen = ["--video", video, "--video", bake, "--images", pictures[0], pictures[1], pictures[2]]
    found = last(crustwatch(*asked, *seen, "--json"))
    assert list(found["frames"].values()) == [[0, 5, 10, 15], [0, 2, 4, 7], [0, 1, 2]]
    assert crustwatch(*asked, *seen) == found["answer"] + "\n"
    assert crustwatch("ask", "--model", "pizza-small", "--threads", 1, "--prompt", "How well?", "--images", bake)
    apart = last(crustwatch(*asked, "--images", *pictures[:2], "--apart", "--json"))
    assert len(apart["frames"]) == 2
    text_only = last(crustwatch(*asked, "--json"))
    assert text_only["frames"] == {}
    with pytest.raises(BadInputError, match="no such file"):
        crustwatch(*asked, "--images", "x.png")
    with pytest.raises(BadInputError, match="choose even or space"):
        crustwatch(*asked, "--sampling", "odd", "--video", video)


def test_ask_chooses_frames_by_space(folder: Path, video: Path) -> None:
    asked = ["ask", "--model", folder, "--threads", 1, "--prompt", "How well?", "--max-tokens", 4, "--frames", 5]
    found = last(crustwatch(*asked, "--video", video, "--sampling", "space", "--json"))
    (places,) = found["frames"].values()
    assert len(set(places)) == 5
    with pytest.raises(MissingPartError, match="point_head"):
        crustwatch("ask", "--video", video, "--prompt", "?", "--sampling", "space", "--frames", 2)


@pytest.mark.parametrize("model", ["pizza-small", "random"])
def test_verdict_prints_what_a_worker_would_answer(folder: Path, bake: Path, video: Path, model: str) -> None:
    name = str(folder) if model == "random" else model
    command = ["verdict", "--model", name, "--threads", 1, "--video", video, "--images", bake]
    found = [json.loads(line) for line in crustwatch(*command, "--json").splitlines()]
    assert [one["name"] for one in found] == ["line.mp4", "0.png and 7 more"]
    assert all(not one["cannot_tell"] and one["provenance"]["engine"] == "full" for one in found)
    plain = crustwatch(*command)
    assert all(one["doneness"] in plain and one["rationale"] in plain for one in found)
    with pytest.raises(BadInputError, match="needs frames"):
        crustwatch("verdict")


def test_sample_writes_the_frames_and_what_they_cover(folder: Path, video: Path, tmp_path: Path) -> None:
    command = ["sample", "--video", video, "--frames", 5, "--threads", 1]
    found = last(crustwatch(*command, "--model", folder, "--out", tmp_path / "space", "--json"))
    assert found["method"] == "space"
    assert found["voxels_by_space"] > 0
    names = {path.name for path in (tmp_path / "space").iterdir()}
    assert names == {*(f"frame_{place:06d}.png" for place in found["frames"]), "coverage.svg", "sampling.json"}
    assert len(found["frames"]) == 5
    lines = ElementTree.parse(tmp_path / "space" / "coverage.svg").getroot().findall("{*}polyline")  # noqa: S314
    assert len(lines) == 2
    plain = crustwatch(*command, "--out", tmp_path / "even")
    assert "spread evenly: pizza-small has no point head" in plain
    assert len(list((tmp_path / "even").glob("*.png"))) == 5


def test_depth_writes_pictures_cameras_and_points(folder: Path, bake: Path, tmp_path: Path) -> None:
    command = ["depth", "--video", bake, "--frames", 3, "--threads", 1, "--keep", 0.25, "--out", tmp_path]
    found = last(crustwatch(*command, "--model", folder, "--json"))
    width, height = found["pixels"]
    pictures = read_pictures(sorted(tmp_path.glob("depth_*.png")), apart=True)
    assert [one.frames[0].shape for one in pictures] == [(height, width, 3)] * 3
    assert len(json.loads((tmp_path / "cameras.json").read_text(encoding="utf-8"))) == 3
    header, _, body = (tmp_path / "points.ply").read_bytes().partition(b"end_header\n")
    assert f"element vertex {found['points']}".encode() in header
    assert len(body) == 15 * found["points"]
    assert found["points"] == pytest.approx(0.25 * 3 * width * height, rel=0.01)
    assert found["depth_low"] > 0
    with pytest.raises(MissingPartError, match="does not have"):
        crustwatch(*command)
    with pytest.raises(BadInputError, match="one scene"):
        crustwatch("depth", "--out", tmp_path)


def test_near_is_light_and_far_is_dark() -> None:
    shades = coloured(np.array([[1.0, 2.0, 4.0, 1e9]], dtype=np.float32), 1.0, 8.0).sum(axis=-1)[0]
    assert list(shades) == sorted(shades, reverse=True)


def test_errors_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(CrustwatchError) as caught:
        crustwatch("verdict", "--model", tmp_path / "absent", "--images", "docs/bakes.jpg")
    assert "\n" not in str(caught.value)
