"""Strict loading: the tiny checkpoint in every form, the full-size layout, and everything that must be refused."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cloud.spatial_mllm import (
    CameraHeadConfig,
    DinoConfig,
    DptHeadConfig,
    LanguageConfig,
    SpatialConfig,
    SpatialMLLM,
    TokenIds,
    VggtConfig,
    VisionConfig,
)
from cloud.spatial_mllm.checkpoint_sizes import VGGT_PREFIX, config_from_checkpoint
from cloud.spatial_mllm.config import HEAD_FIELDS
from cloud.spatial_mllm.loader import EMBEDDING_KEY, INDEX_NAME, TIED_KEY
from cloud.spatial_mllm.vggt.track_layout import TRACK_PREFIX, track_head_layout
from shared.errors import BadInputError, MissingPartError

Edit = Callable[[dict[str, Tensor]], None]


@pytest.fixture
def edited(tiny_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the tiny checkpoint after an edit of its tensors, its configuration, or both."""

    def build(edit: Edit | None = None, **config: Any) -> Path:
        tensors = load_file(tiny_folder / "model.safetensors")
        if edit is not None:
            edit(tensors)
        save_file(tensors, tmp_path / "model.safetensors")
        stated = json.loads((tiny_folder / "config.json").read_text(encoding="utf-8")) | config
        (tmp_path / "config.json").write_text(json.dumps(stated), encoding="utf-8")
        return tmp_path

    return build


def same_weights(first: SpatialMLLM, second: SpatialMLLM) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_every_file_of_the_folder_is_used(spatial_fixtures: Path) -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py"))
    for path in spatial_fixtures.glob("*.[js]*"):
        stem = path.name.removeprefix("case_").removesuffix(".safetensors")
        assert path.name in tests or f'"{stem}"' in tests, f"no test reads {path.name}"


def test_end_tokens_come_from_the_generation_config(
    spatial_json: Any, tiny_model: SpatialMLLM, edited: Callable[..., Path]
) -> None:
    stated, tokens = spatial_json("tiny_generation_config.json"), tiny_model.config.tokens
    assert (stated["bos_token_id"], stated["pad_token_id"]) == (tokens.bos, tokens.pad)
    assert tiny_model.end_token_ids == (stated["eos_token_id"],)
    folder = edited()
    assert SpatialMLLM.from_folder(folder).end_token_ids == (tokens.eos,)  # without the file
    path = folder / "generation_config.json"
    path.write_text(json.dumps(stated | {"eos_token_id": [3, 5]}), encoding="utf-8")
    assert SpatialMLLM.from_folder(folder).end_token_ids == (3, 5)
    path.write_text(json.dumps(stated | {"eos_token_id": "end"}), encoding="utf-8")
    with pytest.raises(BadInputError, match="eos_token_id must be"):
        SpatialMLLM.from_folder(folder)


def test_every_tensor_of_the_checkpoint_is_in_the_model(spatial_tensors: Any, tiny_model: SpatialMLLM) -> None:
    tensors, state = spatial_tensors("tiny_model.safetensors"), tiny_model.state_dict()
    assert not [name for name in tensors if name not in state and not name.startswith(TRACK_PREFIX)]
    assert all(torch.equal(tensors[name], value) for name, value in state.items() if name in tensors)
    assert set(state) - set(tensors) == {TIED_KEY}
    assert tiny_model.lm_head.weight is tiny_model.model.embed_tokens.weight


def test_load_logs_the_attention_backend(tiny_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="cloud.spatial_mllm.loader"):
        SpatialMLLM.from_folder(tiny_folder, attention="eager")
    assert "attention: Qwen eager, VGGT sdpa" in caplog.text


def test_save_and_load_again(tiny_model: SpatialMLLM, tmp_path: Path) -> None:
    tiny_model.save_folder(tmp_path)
    again = SpatialMLLM.from_folder(tmp_path)
    assert again.config == tiny_model.config
    assert same_weights(again, tiny_model)
    assert TIED_KEY not in load_file(tmp_path / "model.safetensors")
    again.save_folder(tmp_path)  # over the file that its own tensors are mapped from
    assert same_weights(SpatialMLLM.from_folder(tmp_path), tiny_model)


def test_sharded_checkpoint(tiny_folder: Path, tiny_model: SpatialMLLM, tmp_path: Path) -> None:
    tensors = load_file(tiny_folder / "model.safetensors")
    shards: list[dict[str, Tensor]] = [{}, {}, {}]
    weight_map = {}
    for position, (name, tensor) in enumerate(sorted(tensors.items())):
        shards[position % 3][name] = tensor
        weight_map[name] = f"model-{position % 3 + 1:05d}-of-00003.safetensors"
    for number, shard in enumerate(shards, start=1):
        save_file(shard, tmp_path / f"model-{number:05d}-of-00003.safetensors")
    (tmp_path / INDEX_NAME).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}), encoding="utf-8")
    (tmp_path / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    assert same_weights(SpatialMLLM.from_folder(tmp_path), tiny_model)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(MissingPartError, match="model-00002-of-00003"):
        SpatialMLLM.from_folder(tmp_path)
    for hostile in ({"a": 3}, {"a": ["b"]}, ["a"], {"a": "../elsewhere.safetensors"}):
        (tmp_path / INDEX_NAME).write_text(json.dumps({"weight_map": hostile}), encoding="utf-8")
        with pytest.raises(BadInputError, match=INDEX_NAME):
            SpatialMLLM.from_folder(tmp_path)


def test_stored_output_layer_must_be_the_tied_one(edited: Callable[..., Path], tiny_model: SpatialMLLM) -> None:
    def store(tensors: dict[str, Tensor]) -> None:
        tensors[TIED_KEY] = tensors[EMBEDDING_KEY].clone()

    def store_other(tensors: dict[str, Tensor]) -> None:
        tensors[TIED_KEY] = tensors[EMBEDDING_KEY] + 1

    assert same_weights(SpatialMLLM.from_folder(edited(store)), tiny_model)
    with pytest.raises(BadInputError, match=r"lm_head\.weight differs"):
        SpatialMLLM.from_folder(edited(store_other))
    untied = SpatialMLLM.from_folder(edited(store_other, tie_word_embeddings=False))
    assert torch.equal(untied.lm_head.weight, untied.model.embed_tokens.weight + 1)
    with pytest.raises(BadInputError, match=r"missing keys: lm_head\.weight"):
        SpatialMLLM.from_folder(edited(None, tie_word_embeddings=False))


@pytest.mark.parametrize(
    "name",
    [
        "model.norm.weight",
        "visual.merger.mlp.0.bias",
        "connector.ln_q.weight",
        VGGT_PREFIX + "aggregator.frame_blocks.1.norm1.bias",
        VGGT_PREFIX + "aggregator.patch_embed.mask_token",
        VGGT_PREFIX + "aggregator.patch_embed.pos_embed",
        VGGT_PREFIX + "camera_head.empty_pose_tokens",
        VGGT_PREFIX + "camera_head.trunk.0.mlp.fc1.weight",
        VGGT_PREFIX + "depth_head.scratch.refinenet4.resConfUnit2.conv1.weight",
        VGGT_PREFIX + "track_head.tracker.fmap_norm.bias",
        VGGT_PREFIX + "track_head.tracker.updateformer.virual_tracks",
        VGGT_PREFIX + "track_head.tracker.updateformer.time_blocks.0.attn.in_proj_bias",
    ],
)
def test_missing_key_is_named(name: str, edited: Callable[..., Path]) -> None:
    with pytest.raises(BadInputError, match=name.replace(".", r"\.")):
        SpatialMLLM.from_folder(edited(lambda tensors: tensors.pop(name)))


@pytest.mark.parametrize(
    "name",
    [
        "surprise",
        "model.layers.999.mlp.up_proj.weight",
        VGGT_PREFIX + "camera_head.proj.weight",
        VGGT_PREFIX + "track_head.tracker.surprise",
        VGGT_PREFIX + "aggregator._resnet_mean",
    ],
)
def test_extra_key_is_named(name: str, edited: Callable[..., Path]) -> None:
    with pytest.raises(BadInputError, match=r"extra keys: " + name.replace(".", r"\.")):
        SpatialMLLM.from_folder(edited(lambda tensors: tensors.update({name: torch.zeros(1)})))


def test_wrong_shape_is_named(edited: Callable[..., Path]) -> None:
    with pytest.raises(BadInputError, match=r"wrong shapes: model\.norm\.weight has shape \[1\] instead of"):
        SpatialMLLM.from_folder(edited(lambda tensors: tensors.update({"model.norm.weight": torch.zeros(1)})))


def test_heads_may_be_absent_as_a_whole(edited: Callable[..., Path], tiny_model: SpatialMLLM) -> None:
    def strip(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if "_head." in name and name.startswith(VGGT_PREFIX)]:
            del tensors[name]

    model = SpatialMLLM.from_folder(edited(strip))
    assert model.vggt.camera_head is model.vggt.point_head is model.vggt.depth_head is None
    assert model.vggt.head_layers == ()
    assert torch.equal(model.connector.ln_q.weight, tiny_model.connector.ln_q.weight)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"model_type": "qwen2_5_vl"}, "model_type must be spatial-mllm"),
        ({"connector_config": {"connector_type": "cross_attention"}}, "connector_type must be mlp_add"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"rope_scaling": {"type": "yarn"}}, "rope_scaling"),
        ({"vision_config": None}, "lacks vision_config"),
        ({"hidden_size": None}, "lacks hidden_size"),
        ({"hidden_size": "64"}, "hidden_size must be of type int"),
        ({"rms_norm_eps": "small"}, "rms_norm_eps must be of type float"),
        ({"rope_scaling": {"type": "mrope"}}, "lacks mrope_section"),
        ({"rope_scaling": {"type": "mrope", "mrope_section": [2.5]}}, "mrope_section must be of type list of integers"),
        ({"spatial_config": [1]}, "must be objects"),
        ({"spatial_config": {"dpt_layers": [0, 1]}}, "dpt_layers must be four layers"),
        ({"spatial_config": {"dpt_layers": [0, 1, 2, 10**6]}}, "reads layers"),
        ({"spatial_config": {"dino_num_heads": 10**6}}, "DINO heads"),
        ({"num_attention_heads": 10**6 + 1}, "multiple of num_attention_heads"),
        ({"num_hidden_layers": 1}, r"extra keys: model\.layers\.1"),
        ({"video_token_id": 10**9}, "outside the vocabulary"),
    ],
)
def test_impossible_configuration_is_refused(change: dict[str, Any], text: str, edited: Callable[..., Path]) -> None:
    with pytest.raises(BadInputError, match=text):
        SpatialMLLM.from_folder(edited(None, **change))


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool, torch.complex64])
def test_weights_that_are_no_floats_are_named(edited: Callable[..., Path], dtype: torch.dtype) -> None:
    with pytest.raises(BadInputError, match=r"model\.norm\.weight is of type"):
        SpatialMLLM.from_folder(
            edited(lambda tensors: tensors.update({"model.norm.weight": tensors["model.norm.weight"].to(dtype)}))
        )


def test_mixed_float_types_become_one(edited: Callable[..., Path], tiny_model: SpatialMLLM) -> None:
    def mix(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors)[::2]:
            tensors[name] = tensors[name].double()
        tensors["model.norm.weight"] = tensors["model.norm.weight"].float()

    model = SpatialMLLM.from_folder(edited(mix))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert same_weights(model, tiny_model)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        (2**62).to_bytes(8, "little"),
        (10).to_bytes(8, "little") + b"not json!!",
        (2).to_bytes(8, "little") + b"[]",
        (70).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,99999]}}'.ljust(70),
        (70).to_bytes(8, "little") + b'{"a":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}}'.ljust(70) + b"\x00" * 8,
    ],
)
def test_malformed_safetensors_are_one_line(tiny_folder: Path, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(BadInputError, match=r"model\.safetensors is no safetensors file") as caught:
        SpatialMLLM.from_folder(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"num_hidden_layers": 10**9}, {"intermediate_size": 10**15}, {"vocab_size": -5}, {"hidden_act": "tan"}]
)
def test_sizes_that_no_model_can_have_are_refused(change: dict[str, Any], edited: Callable[..., Path]) -> None:
    with pytest.raises(BadInputError):
        SpatialMLLM.from_folder(edited(None, **change))


def test_progress_reaches_the_end(tiny_folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    SpatialMLLM.from_folder(tiny_folder, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_broken_folders_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=r"config\.json does not exist"):
        SpatialMLLM.from_folder(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadInputError, match="no valid JSON"):
        SpatialMLLM.from_folder(tmp_path)
    (tmp_path / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    with pytest.raises(MissingPartError, match=r"model\.safetensors does not exist"):
        SpatialMLLM.from_folder(tmp_path)
    whole = (tiny_folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInputError, match="no safetensors file"):
        SpatialMLLM.from_folder(tmp_path)
    with pytest.raises(BadInputError, match="attention backend"):
        SpatialMLLM.from_folder(tiny_folder, attention="fast")
    with pytest.raises(MissingPartError, match=r"crustwatch\[gpu\]"):
        SpatialMLLM.from_folder(tiny_folder, attention="flash_attention_2")
    (tmp_path / INDEX_NAME).write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}), encoding="utf-8")
    with pytest.raises(BadInputError, match="outside its folder"):
        SpatialMLLM.from_folder(tmp_path)


def test_sizes_are_read_from_the_shapes(tmp_path: Path) -> None:
    """No size of the fixtures is built in: another model, stripped of the optional fields, is recognised."""
    dense = DptHeadConfig(layers=(1, 2, 4, 5), level_channels=(4, 8, 12, 16), features=8, hidden=6)
    config = SpatialConfig(
        language=LanguageConfig(
            vocab_size=64,
            hidden_size=48,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=1,
            mrope_section=(2, 3, 3),
            tie_word_embeddings=False,
        ),
        vision=VisionConfig(
            depth=3,
            hidden_size=24,
            intermediate_size=20,
            num_heads=3,
            out_hidden_size=48,
            patch_size=8,
            window_size=32,
            fullatt_block_indexes=(2,),
        ),
        vggt=VggtConfig(
            width=24,
            depth=6,
            num_heads=3,
            mlp_size=72,
            patch_size=8,
            register_tokens=2,
            dino=DinoConfig(depth=3, num_heads=3, mlp_size=48, register_tokens=1, position_grid=5),
            camera_head=CameraHeadConfig(depth=2, num_heads=6, mlp_size=100),
            point_head=dense,
            depth_head=None,
        ),
        tokens=TokenIds(vision_start=50, vision_end=51, image=52, video=53, bos=54, eos=55, pad=56),
    )
    model = SpatialMLLM(config)
    model.save_folder(tmp_path)
    path = tmp_path / "config.json"
    stated = json.loads(path.read_text(encoding="utf-8"))
    for name in HEAD_FIELDS:
        del stated["spatial_config"][name]
    path.write_text(json.dumps(stated), encoding="utf-8")
    again = SpatialMLLM.from_folder(tmp_path)
    assert again.config == config
    assert same_weights(again, model)


def test_stated_heads_win_over_the_rule(edited: Callable[..., Path], tiny_model: SpatialMLLM) -> None:
    spatial = {"dino_num_heads": 1, "camera_num_heads": 1, "dpt_layers": [0, 0, 1, 1]}
    vggt = SpatialMLLM.from_folder(edited(None, spatial_config=spatial)).config.vggt
    assert vggt.dino.num_heads == 1
    assert vggt.camera_head == replace(tiny_model.config.vggt.camera_head or CameraHeadConfig(), num_heads=1)
    assert vggt.point_head is not None
    assert vggt.point_head.layers == (0, 0, 1, 1)


def test_full_size_layout_is_accounted_for(spatial_json: Any) -> None:
    layout = spatial_json("full_size_state_dict_layout.json")
    shapes = {name: tuple(shape) for name, shape in layout["tensors"].items()}
    assert len(shapes) == layout["n_tensors"]
    published = SpatialConfig().to_json()
    for name in HEAD_FIELDS:
        del published["spatial_config"][name]  # published files do not have them
    config = config_from_checkpoint(published, shapes)
    assert config == SpatialConfig()
    with torch.device("meta"):
        model = SpatialMLLM(config)
    ours = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    track = track_head_layout(
        {name: shape for name, shape in shapes.items() if name.startswith(TRACK_PREFIX)}, config.vggt.output_width
    )
    assert not set(ours) & set(track)
    assert ours | track == shapes
    for part, count in layout["param_count"].items():
        found = {name: shape for name, shape in (ours | track).items() if name.startswith(part + ".")}
        assert sum(torch.Size(shape).numel() for shape in found.values()) == count, part
