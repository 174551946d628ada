"""Pictures, folders and videos as a person has them, and everything hostile that stands in their place."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cloud.media import read_pictures, read_video
from shared.errors import BadInputError, MissingPartError

WIDTH, HEIGHT = 64, 48


def write_video(path: Path, count: int, codec: str = "mpeg4", size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Frame k is a grey of 40 + 5 k, so that a decoded frame says which one it was."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for index in range(count):
            grey = np.full((size[1], size[0], 3), 40 + 5 * index, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def which(frame: NDArray[np.uint8]) -> int:
    return round((float(frame.mean()) - 40) / 5)


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "mpeg4"), ("mkv", "mpeg4"), ("avi", "mjpeg"), ("mp4", "h264")])
def test_frames_are_spread_from_first_to_last(tmp_path: Path, suffix: str, codec: str) -> None:
    found = read_video(write_video(tmp_path / f"clip.{suffix}", 21, codec), 5)
    assert found.places == (0, 5, 10, 15, 20)
    assert [which(frame) for frame in found.frames] == [0, 5, 10, 15, 20]
    assert found.times_s == pytest.approx([0, 0.5, 1, 1.5, 2], abs=0.01)
    assert not found.still


def test_short_videos_give_all_they_have(tmp_path: Path) -> None:
    assert read_video(write_video(tmp_path / "one.mp4", 1), 16).places == (0,)
    assert read_video(write_video(tmp_path / "three.mp4", 3), 16).places == (0, 1, 2)


def test_a_folder_of_frames_is_a_video(tmp_path: Path) -> None:
    for index in range(6):
        Image.new("RGB", (WIDTH, HEIGHT), (40 + 5 * index,) * 3).save(tmp_path / f"frame_{index:03}.png")
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    found = read_video(tmp_path, 3)
    assert [which(frame) for frame in found.frames] == [0, 2, 5]
    assert found.places == (0, 2, 5)


def test_pictures_of_one_scene_get_one_size(tmp_path: Path) -> None:
    for name, size in (("b.png", (60, 40)), ("a.jpg", (64, 48)), ("c.webp", (30, 90))):
        Image.new("RGB", size).save(tmp_path / name)
    (scene,) = read_pictures([tmp_path])
    assert {frame.shape for frame in scene.frames} == {(48, 64, 3)}
    assert scene.still
    apart = read_pictures([tmp_path / "c.webp", tmp_path / "b.png"], apart=True)
    assert [one.frames[0].shape[:2] for one in apart] == [(90, 30), (40, 60)]


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.75])
@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "mpeg4"), ("mkv", "mpeg4"), ("avi", "mjpeg")])
def test_a_truncated_video_is_one_clear_error(tmp_path: Path, keep: float, suffix: str, codec: str) -> None:
    path = write_video(tmp_path / f"clip.{suffix}", 40, codec)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(BadInputError, match=path.name) as caught:
        read_video(path, 8)
    assert "\n" not in str(caught.value)


def test_a_truncated_video_whose_index_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "fast.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        noise = np.random.default_rng(0)
        for _ in range(30):
            frame = noise.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInputError, match=r"cut short|damaged"):
        read_video(path, 8)


def test_hostile_files_are_named(tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    Image.new("RGB", (1, 1)).save(tmp_path / "one.png")
    Image.new("RGB", (20_000, 40)).save(tmp_path / "long.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:3000])
    for name, text in (
        ("noise.mp4", "no video"),
        ("empty.mp4", "no video"),
        ("sound.mp4", "no video stream"),
        ("empty", "no picture"),
        ("absent.mp4", "no such file"),
    ):
        with pytest.raises(BadInputError, match=text):
            read_video(tmp_path / name, 8)
    for name, text in (
        ("one.png", "1x1 pixels show nothing"),
        ("long.png", "at most 16384"),
        ("huge.png", "at most 16384"),
        ("cut.jpg", "damaged"),
        ("noise.mp4", "no image"),
        ("empty", "no picture"),
        ("absent.png", "no such file"),
    ):
        with pytest.raises(BadInputError, match=text) as caught:
            read_pictures([tmp_path / name])
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInputError, match="0 pictures"):
        read_pictures([])
    with pytest.raises(BadInputError, match="choose 1 to"):
        read_video(whole, 0)


def test_other_readers_are_asked_for_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "clip.mp4", 3)
    for module, reader in (("decord", "decord"), ("qwen_vl_utils", "qwen-vl-utils")):
        monkeypatch.setitem(__import__("sys").modules, module, None)
        with pytest.raises(MissingPartError, match=reader):
            read_video(path, 2, reader)
    with pytest.raises(BadInputError, match="choose one of av, decord, qwen-vl-utils"):
        read_video(path, 2, "opencv")
