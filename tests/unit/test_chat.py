"""Questions in words: streams, batches of unlike prompts, the feature cache, geometry once, geometry off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from spatial_folder import write_folder

from cloud.chat import Chat, Question
from cloud.loading import load_checkpoint
from cloud.media import Footage
from cloud.spatial_mllm import SpatialMLLM
from cloud.spatial_mllm.geometry_pass import choose, look
from shared.errors import BadInputError, MissingPartError

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("small") / "model")


@pytest.fixture
def chat(folder: Path) -> Chat:
    return Chat(load_checkpoint(folder))


def footage(count: int, seed: int, *, still: bool = False, size: tuple[int, int] = (60, 80)) -> Footage:
    frames = np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)
    places = tuple(range(count))
    return Footage(f"noise {seed}", tuple(frames), tuple(map(float, places)), places, still)


def mixed(chat: Chat) -> list[Question]:
    """Text only; one clip; two clips of other shapes and a still; a scene of three stills."""
    return [
        Question("How well is this pizza baked?"),
        Question("Look at all frames.", (chat.show(footage(4, 1), 16),)),
        Question(
            "frames",
            (
                chat.show(footage(5, 2, size=(90, 60)), 16),
                chat.show(footage(2, 3), 16),
                chat.show(footage(1, 4, still=True), 1),
            ),
        ),
        Question("where the char is?", (chat.show(footage(3, 5, still=True), 3),)),
    ]


def test_a_batch_answers_as_each_prompt_does_alone(chat: Chat) -> None:
    questions = mixed(chat)
    together = chat.answer(questions, 12)
    alone = [chat.answer([question], 12)[0] for question in questions]
    assert [reply.text for reply in together] == [reply.text for reply in alone]
    for one, other in zip(together, alone, strict=True):
        assert [span[2] for span in one.spans] == pytest.approx([span[2] for span in other.spans], abs=1e-4)


def test_the_stream_is_the_answer(chat: Chat) -> None:
    for question in mixed(chat):
        pieces = list(chat.stream(question, 12))
        assert "".join(pieces) == chat.answer([question], 12)[0].text
        assert len(pieces) > 1


def test_decoding_without_the_cache_says_the_same(chat: Chat) -> None:
    inputs = chat.inputs(mixed(chat))
    fast = chat.model.generate(inputs, max_new_tokens=10)
    slow = chat.model.generate(inputs, max_new_tokens=10, cached=False)
    assert torch.equal(fast.ids, slow.ids)
    torch.testing.assert_close(fast.log_probabilities, slow.log_probabilities, rtol=0, atol=1e-4)


def test_a_second_question_about_a_clip_costs_no_vision(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = (chat.show(footage(4, 1), 16),)
    first = chat.answer([Question("frames", shown)], 6)
    monkeypatch.setattr(chat.model, "encode", None)  # a call would fail
    again = (chat.show(footage(4, 1), 16),)  # the same frames, read anew
    assert chat.answer([Question("frames", again)], 6) == first
    assert chat.cache_hits == 1
    with pytest.raises(TypeError):
        chat.answer([Question("frames", (chat.show(footage(4, 9), 16),))], 6)


def test_the_cache_keeps_to_its_size(folder: Path) -> None:
    chat = Chat(load_checkpoint(folder), cache_bytes=1)
    for seed in range(3):
        chat.answer([Question("frames", (chat.show(footage(2, seed), 16),))], 2)
    assert len(chat._cache) == 1


def test_one_pass_of_the_geometry_serves_choice_and_answer(chat: Chat) -> None:
    """The aggregator runs once, over all candidates; the answer is that of the chosen frames' tokens."""
    assert chat.model.vggt.point_head is None  # left on disk until it is asked for
    passes: list[int] = []
    hook = chat.model.vggt.aggregator.register_forward_pre_hook(lambda _m, args: passes.append(args[0].shape[1]))
    clip = footage(9, 6)
    shown = chat.show(clip, 4, space_aware=True)
    chat.answer([Question("frames", (shown,))], 4)
    hook.remove()
    assert passes == [9]
    assert len(set(shown.places)) == 4
    assert chat.model.vggt.point_head is not None
    assert chat.model.vggt.depth_head is None
    geometry = look(chat.model, chat.processor, clip.frames)
    assert tuple(choose(geometry, 4).places) == shown.places
    # with as many frames asked for as there are, the shared tokens are those of an ordinary encoding
    whole = look(chat.model, chat.processor, clip.frames[:4]).tokens.last()[0, :, geometry.tokens.patch_start :]
    plain = chat.processor.video(clip.frames[:4])
    fused = chat.model.fuse(plain.patches, torch.tensor([plain.grid_thw]), [whole])
    encoded = chat.model.encode(plain.patches, torch.tensor([plain.grid_thw]), [plain.tchw]).fused
    torch.testing.assert_close(fused, encoded, rtol=0, atol=1e-5)


def test_a_batch_larger_than_the_cache_keeps_the_tokens_of_its_choice(folder: Path) -> None:
    """Else the clips that fell out would be encoded from their chosen frames alone, and answered otherwise."""
    loaded = load_checkpoint(folder)
    roomy, narrow = Chat(loaded), Chat(loaded, cache_bytes=1)
    clips = [footage(9, seed) for seed in range(3)]
    embeds = []
    for chat in (roomy, narrow):
        questions = [Question("frames", (chat.show(clip, 4, space_aware=True),)) for clip in clips]
        embeds.append(chat.inputs(questions).video_embeds)
    assert len(narrow._cache) == 1
    assert torch.equal(*embeds)


def test_a_clip_shown_again_costs_no_second_pass_of_the_geometry(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    first = chat.show(footage(9, 6), 4, space_aware=True)
    monkeypatch.setattr("cloud.chat.sample_and_encode", None)  # a call would fail
    again = chat.show(footage(9, 6), 4, space_aware=True)
    assert again.places == first.places
    assert torch.equal(again.clip.patches, first.clip.patches)
    assert chat.answer([Question("frames", (again,))], 4) == chat.answer([Question("frames", (first,))], 4)
    with pytest.raises(TypeError):
        chat.show(footage(9, 6), 5, space_aware=True)  # other frames are another choice


def test_flat_scenes_still_give_distinct_frames(chat: Chat) -> None:
    blank = footage(7, 0)
    same = Footage("blank", (blank.frames[0] * 0,) * 7, blank.times_s, blank.places, still=False)
    assert len(set(chat.show(same, 5, space_aware=True).places)) == 5


def test_geometry_off_is_plain_qwen(folder: Path, tmp_path: Path) -> None:
    full = SpatialMLLM.from_folder(folder)
    off = SpatialMLLM.from_folder(folder, geometry=False)
    assert not off.config.geometry
    off.save_folder(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))["model_type"] == "qwen2_5_vl"
    again = SpatialMLLM.from_folder(tmp_path)
    assert not [name for name in again.state_dict() if name.startswith(("spatial_encoder", "connector"))]
    clip = Chat(load_checkpoint(folder)).processor.video(footage(2, 1).frames)
    grid = torch.tensor([clip.grid_thw])
    with torch.inference_mode():
        seen = full.encode(clip.patches, grid, [clip.tchw])
        for plain in (off, again):
            blind = plain.encode(clip.patches, grid, [clip.tchw])
            assert torch.equal(blind.fused, seen.visual_embeds)
            assert torch.equal(blind.visual_embeds, seen.visual_embeds)
    with pytest.raises(MissingPartError, match="without geometry"):
        _ = off.vggt


def test_newer_names_of_plain_qwen_are_understood(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    off = SpatialMLLM.from_folder(folder, geometry=False)
    off.save_folder(tmp_path)
    renamed = {
        f"model.{name}" if name.startswith("visual.") else name.replace("model.", "model.language_model.", 1): tensor
        for name, tensor in load_file(tmp_path / "model.safetensors").items()
    }
    save_file(renamed, tmp_path / "model.safetensors")
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    text = {name: config.pop(name) for name in ("hidden_size", "num_hidden_layers", "rope_theta", "intermediate_size")}
    config["text_config"] = text | {"rope_parameters": config.pop("rope_scaling")}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    again = SpatialMLLM.from_folder(tmp_path)
    assert again.config == off.config
    assert torch.equal(again.model.layers[1].mlp.up_proj.weight, off.model.layers[1].mlp.up_proj.weight)


def test_a_hub_id_is_found_in_the_hubs_cache(folder: Path, tmp_path: Path) -> None:
    """The cache of huggingface_hub as a download leaves it; nothing leaves this machine."""
    revision = "0123456789abcdef0123456789abcdef01234567"
    home = tmp_path / "models--someone--small"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(revision, encoding="utf-8")
    (home / "snapshots").mkdir()
    (home / "snapshots" / revision).symlink_to(folder)
    script = (
        "from cloud.loading import load_checkpoint\n"
        "print(load_checkpoint('someone/small').name)\n"
        "try:\n    load_checkpoint('someone/other')\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True, env=environment
    )
    first, second = done.stdout.splitlines()
    assert first == "someone/small"
    assert second.startswith("MissingPartError checkpoint someone/other is neither in the cache")


def test_a_vocabulary_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", vocabulary="qwen")
    (other / "config.json").write_bytes((folder / "config.json").read_bytes())
    (other / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(BadInputError, match="they differ"):
        Chat(load_checkpoint(other))
