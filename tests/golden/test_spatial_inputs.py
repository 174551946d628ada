"""Preprocessing, frame sampling and batching against the reference."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cloud.spatial_mllm import SpatialMLLM
from cloud.spatial_mllm.processor import PixelRange, Processor, PromptRow, smart_size
from cloud.spatial_mllm.sampling import (
    VoxelCover,
    candidate_frames,
    even_indices,
    fill_up,
    greedy_cover,
    select_frames,
    space_aware_frames,
    vggt_frame,
    vggt_frame_size,
    voxel_cover,
)
from cloud.spatial_mllm.vggt.encoder import Vggt
from shared.errors import BadInputError, MissingPartError

STOCK = PixelRange(56 * 56, 28 * 28 * 1280)  # the range of transformers' processor, used for the fixture


@pytest.fixture(scope="module")
def preprocess(spatial_tensors: Callable[[str], dict[str, Tensor]]) -> dict[str, Tensor]:
    return spatial_tensors("preprocess.safetensors")


@pytest.fixture(scope="module")
def scenes(spatial_json: Any, spatial_tensors: Any) -> list[tuple[dict[str, Any], Any, Any]]:
    tensors = spatial_tensors("sa_sampling.safetensors")
    return [
        (
            scene,
            tensors[f"{scene['case']}.world_points"][0].numpy(),
            tensors[f"{scene['case']}.world_points_conf"][0].numpy(),
        )
        for scene in spatial_json("sa_sampling.json")["space_aware"]
    ]


@pytest.mark.parametrize("name", ["a", "c"])
def test_video_preprocessing(name: str, preprocess: dict[str, Tensor], tiny_model: SpatialMLLM) -> None:
    clip = Processor(tiny_model.config, STOCK).video(list(preprocess[f"{name}.frames_uint8_thwc"].numpy()))
    assert [list(clip.grid_thw)] == preprocess[f"{name}.video_grid_thw"].tolist()
    torch.testing.assert_close(clip.patches, preprocess[f"{name}.pixel_values_videos"], rtol=0, atol=1e-5)
    torch.testing.assert_close(clip.tchw, preprocess[f"{name}.video_tchw"], rtol=0, atol=1e-6)


def test_image_preprocessing(preprocess: dict[str, Tensor], tiny_model: SpatialMLLM) -> None:
    clip = Processor(tiny_model.config, STOCK).image(preprocess["a.frames_uint8_thwc"][0].numpy())
    assert [list(clip.grid_thw)] == preprocess["d.image_grid_thw"].tolist()
    torch.testing.assert_close(clip.patches, preprocess["d.pixel_values"], rtol=0, atol=1e-5)
    torch.testing.assert_close(clip.tchw, preprocess["d.image_tchw"], rtol=0, atol=1e-6)


def test_larger_minimum_enlarges(preprocess: dict[str, Tensor], tiny_model: SpatialMLLM) -> None:
    """Case b states the grid only: some minimum leads to it, and it keeps the aspect ratio."""
    vision = tiny_model.config.vision
    _, rows, columns = preprocess["b.video_grid_thw"][0].tolist()
    height, width = preprocess["a.frames_uint8_thwc"].shape[1:3]
    factor = vision.patch_size * vision.spatial_merge_size
    wanted = (rows * vision.patch_size, columns * vision.patch_size)
    minima = range(factor**2, wanted[0] * wanted[1] + 1, factor)
    assert wanted in {smart_size(height, width, factor, PixelRange(low, STOCK.maximum)) for low in minima}


def test_sizes_stay_within_the_range() -> None:
    for height, width in ((240, 320), (1080, 1920), (3000, 3000), (20, 30)):
        rows, columns = smart_size(height, width, 28, PixelRange())
        assert rows % 28 == columns % 28 == 0
        assert PixelRange().minimum * 0.9 <= rows * columns <= PixelRange().maximum * 1.1
    with pytest.raises(BadInputError, match="ratio of 200"):
        smart_size(1, 201, 28, PixelRange())


def test_bad_frames_are_named(tiny_model: SpatialMLLM) -> None:
    processor = Processor(tiny_model.config, STOCK)
    frame = np.zeros((60, 60, 3), dtype=np.uint8)
    with pytest.raises(BadInputError, match="at least one frame"):
        processor.video([])
    with pytest.raises(BadInputError, match="differ in size"):
        processor.video([frame, frame[:40]])
    with pytest.raises(BadInputError, match="must be uint8"):
        processor.image(frame.astype(np.float32))  # type: ignore[arg-type]


def test_pixel_range_of_a_folder(tmp_path: Path, tiny_model: SpatialMLLM) -> None:
    config = tiny_model.config
    assert Processor.from_folder(tmp_path, config).pixels == PixelRange()
    Processor(config, PixelRange(1000, 2000)).save_folder(tmp_path)
    assert Processor.from_folder(tmp_path, config).pixels == PixelRange(1000, 2000)
    path = tmp_path / "preprocessor_config.json"
    path.write_text('{"min_pixels": 3136, "max_pixels": 12845056}', encoding="utf-8")
    assert Processor.from_folder(tmp_path, config).pixels == PixelRange()  # Qwen's stock file says nothing
    path.write_text('{"min_pixels": 9}', encoding="utf-8")
    with pytest.raises(BadInputError, match="max_pixels"):
        Processor.from_folder(tmp_path, config)


def test_batch_answers_as_single_prompts_do(tiny_model: SpatialMLLM, text_ids: list[int]) -> None:
    """Left padding and grouping change nothing: the batch generates what each row generates alone."""
    tokens = tiny_model.config.tokens
    processor = Processor(tiny_model.config, PixelRange(56 * 56, 84 * 84))
    rng = np.random.default_rng(3)
    clips = [processor.video(list(rng.integers(0, 256, (frames, 70, 90, 3), dtype=np.uint8))) for frames in (4, 3, 2)]
    image = processor.image(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))

    def row(clip: int, tail: int, still: bool = False) -> PromptRow:
        ids = [*text_ids[:2], tokens.vision_start, tokens.video, tokens.vision_end, *text_ids[2 : 2 + tail]]
        if still:
            ids = [tokens.vision_start, tokens.image, tokens.vision_end, *ids]
        return PromptRow(ids, [clips[clip]], [0.5 * (clip + 1)], [image] if still else [])

    rows = [row(0, 3), row(1, 9, still=True), row(2, 1)]
    together = tiny_model.generate(processor.batch(rows), max_new_tokens=6, eos_token_ids=())
    alone = [tiny_model.generate(processor.batch([one]), max_new_tokens=6, eos_token_ids=()).ids[0] for one in rows]
    assert torch.equal(together.ids, torch.stack(alone))


def test_images_of_one_scene_are_one_clip(tiny_model: SpatialMLLM, text_ids: list[int]) -> None:
    processor = Processor(tiny_model.config, PixelRange(56 * 56, 84 * 84))
    image = tiny_model.config.tokens.image
    frames = list(np.random.default_rng(6).integers(0, 256, (2, 60, 60, 3), dtype=np.uint8))
    ids = [image, text_ids[0], image, text_ids[1]]
    together = processor.batch([PromptRow(ids, images=[processor.scene(frames)])])
    apart = processor.batch([PromptRow(ids, images=[processor.image(frame) for frame in frames])])
    assert torch.equal(together.input_ids, apart.input_ids)
    assert together.pixel_values is not None
    assert apart.pixel_values is not None
    assert torch.equal(together.pixel_values, apart.pixel_values)
    assert together.image_grid_thw is not None
    assert together.image_grid_thw.tolist() == [[1, *processor.image(frames[0]).grid_thw[1:]]] * 2
    with torch.inference_mode():
        joint, single = tiny_model.run(together).image, tiny_model.run(apart).image
    assert joint is not None
    assert single is not None
    assert torch.allclose(joint.visual_embeds, single.visual_embeds, atol=5e-6)
    assert not torch.allclose(joint.fused, single.fused, atol=1e-3)  # VGGT related the two


def test_cached_decoding_equals_recomputation(tiny_model: SpatialMLLM, text_ids: list[int]) -> None:
    processor = Processor(tiny_model.config, PixelRange(56 * 56, 84 * 84))
    tokens = tiny_model.config.tokens
    frames = np.random.default_rng(4).integers(0, 256, (2, 60, 80, 3), dtype=np.uint8)
    row = PromptRow([text_ids[0], tokens.video, text_ids[1]], [processor.video(list(frames))], [1.0])
    fast = tiny_model.generate(processor.batch([row]), max_new_tokens=5, eos_token_ids=(), return_logits=True)
    assert fast.logits is not None
    for step in range(5):
        longer = PromptRow([*row.ids, *fast.ids[0, :step].tolist()], row.videos, row.seconds_per_grid)
        with torch.inference_mode():
            slow = tiny_model.run(processor.batch([longer])).logits[:, -1]
        torch.testing.assert_close(fast.logits[:, step], slow, rtol=0, atol=2e-5)


def test_generation_ends_each_row_at_its_end_token(tiny_model: SpatialMLLM, text_ids: list[int]) -> None:
    processor = Processor(tiny_model.config)
    inputs = processor.batch([PromptRow(text_ids[:3]), PromptRow(text_ids[4:9])])
    free = tiny_model.generate(inputs, max_new_tokens=8, eos_token_ids=()).ids
    end = int(free[0, 2])
    stopped = tiny_model.generate(inputs, max_new_tokens=8, eos_token_ids=(end,)).ids
    first = free[0].tolist().index(end)
    assert stopped[0, : first + 1].tolist() == free[0, : first + 1].tolist()
    assert set(stopped[0, first + 1 :].tolist()) <= {tiny_model.config.tokens.pad}
    both = tiny_model.generate(inputs, max_new_tokens=8, eos_token_ids=range(tiny_model.config.language.vocab_size))
    assert both.ids.shape == (2, 1)
    with pytest.raises(BadInputError, match="at least 1"):
        tiny_model.generate(inputs, max_new_tokens=0)
    assert inputs.attention_mask is not None
    padded_right = replace(inputs, attention_mask=inputs.attention_mask.flip(1))
    with pytest.raises(BadInputError, match="padded on the left"):
        tiny_model.generate(padded_right, max_new_tokens=1)
    with pytest.raises(BadInputError, match="at least one prompt"):
        processor.batch([])


def test_prompts_and_visuals_must_match(tiny_model: SpatialMLLM, text_ids: list[int]) -> None:
    processor = Processor(tiny_model.config, STOCK)
    tokens = tiny_model.config.tokens
    clip = processor.image(np.zeros((60, 60, 3), dtype=np.uint8))
    for row, text in (
        (PromptRow([tokens.image]), "more placeholders"),
        (PromptRow(text_ids[:1], images=[clip]), "no placeholder"),
        (PromptRow([tokens.video], videos=[clip]), "seconds_per_grid"),
    ):
        with pytest.raises(BadInputError, match=text):
            processor.batch([row])
    inputs = processor.batch([PromptRow([text_ids[0], tokens.image], images=[clip])])
    for missing in ("pixel_values", "image_grid_thw", "image_tchw"):
        with pytest.raises(BadInputError, match="need all three"):
            tiny_model(**(vars(inputs) | {missing: None}))
    with pytest.raises(BadInputError, match="image placeholders in the prompts"):
        tiny_model(**(vars(inputs) | {"input_ids": inputs.input_ids[:, :-1], "attention_mask": None}))


def test_space_aware_scenes(scenes: Any) -> None:
    assert scenes
    for scene, points, confidence in scenes:
        cover = voxel_cover(points, confidence)
        assert cover.threshold == scene["conf_threshold"]
        assert cover.low.tolist() == scene["bbox_min"]
        assert cover.high.tolist() == scene["bbox_max"]
        assert cover.voxel_size == scene["voxel_size"]
        assert [len(ids) for ids in cover.voxels] == scene["voxels_per_frame"]
        assert len(np.unique(np.concatenate(cover.voxels))) == scene["total_voxels"]
        assert greedy_cover(cover.voxels, scene["K"]) == (scene["greedy_order"], scene["marginal_gains"])
        assert select_frames(points, confidence, scene["K"]) == scene["selected_sorted"]


def test_maximum_coverage(spatial_json: Any) -> None:
    for problem in spatial_json("sa_sampling.json")["maximum_coverage"]:
        sets = [np.array(ids, dtype=np.int64) for ids in problem["sets"]]
        assert greedy_cover(sets, problem["K"])[0] == problem["greedy_order"]


def test_even_indices(spatial_json: Any) -> None:
    tables = spatial_json("sa_sampling.json")
    for table in tables["candidate_linspace"]:
        assert even_indices(table["num_frames"], table["count"]) == table["indices"]
    for table in tables["uniform_of_candidates"]:
        candidates = candidate_frames(table["num_frames"])
        assert [candidates[i] for i in even_indices(len(candidates), table["num_out"])] == table["indices"]


def test_always_as_many_distinct_frames_as_asked_for(scenes: Any) -> None:
    _, points, confidence = scenes[0]
    flat = points.copy()
    flat[..., 2] = 1.0  # a planar scene, for which the reference returns one frame
    same = np.broadcast_to(points[:1], points.shape)  # every frame sees the same
    unsure = np.full_like(confidence, 0.05)
    for world, sure in ((flat, confidence), (same, confidence[:1].repeat(len(points), 0)), (points, unsure)):
        for count in (1, 2, 5, len(points), len(points) + 3):
            chosen = select_frames(world, sure, count)
            assert len(set(chosen)) == len(chosen) == min(count, len(points))
            assert chosen == sorted(chosen)
    assert isinstance(voxel_cover(flat, confidence), VoxelCover)
    assert fill_up([], 9, 3) == [0, 4, 8]
    assert fill_up([0], 9, 3) == [0, 4, 8]
    assert fill_up([3], 4, 4) == [0, 1, 2, 3]


def test_vggt_image_sizes(spatial_json: Any) -> None:
    (sizes,) = spatial_json("vggt_image_sizes.json").values()
    for stated, shape in sizes.items():
        width, height = map(int, stated.split("x"))
        frame = np.full((height, width, 3), 51, dtype=np.uint8)
        assert vggt_frame_size(height, width) == tuple(shape[2:])
        loaded = vggt_frame(frame)
        assert [1, *loaded.shape] == shape
        assert np.allclose(loaded, 0.2)


def test_portrait_frames_turn_clockwise() -> None:
    frame = np.zeros((40, 20, 3), dtype=np.uint8)
    frame[:4] = 255  # the top edge becomes the right edge
    assert vggt_frame(frame)[0, :, -20:].mean() > 0.9
    assert vggt_frame(frame)[0, :, :20].mean() < 0.1


def test_space_aware_frames_of_a_clip(tiny_model: SpatialMLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.spatial_mllm.sampling.VGGT_WIDTH", 6 * tiny_model.config.vggt.patch_size)
    monkeypatch.setattr("cloud.spatial_mllm.sampling.MAX_CANDIDATES", 6)
    clip = list(np.random.default_rng(5).integers(0, 256, (9, 40, 60, 3), dtype=np.uint8))
    chosen = space_aware_frames(tiny_model.vggt, clip, 4)
    assert len(set(chosen)) == 4
    assert chosen == sorted(chosen)
    assert set(chosen) <= {0, 1, 3, 4, 6, 8}
    assert space_aware_frames(tiny_model.vggt, clip[:3], 4) == [0, 1, 2]
    with pytest.raises(BadInputError, match="at least one frame"):
        space_aware_frames(tiny_model.vggt, [], 4)
    headless = Vggt(replace(tiny_model.config.vggt, point_head=None))
    with pytest.raises(MissingPartError, match="point head"):
        space_aware_frames(headless, clip, 4)
