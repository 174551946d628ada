"""Every forward, generation and gradient case of the reference, stage by stage. Limits: the fixtures' README."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from cloud.spatial_mllm import ModelInputs, SpatialMLLM, SpatialOutput

Tensors = dict[str, Tensor]

CASES = (
    "video",
    "two_images_separate",
    "two_images_joint",
    "batch2_same",
    "batch2_mixed",
    "image_and_video",
    "text_only",
)
DERIVED_CASES = ("video_spg05", "video_bf16")  # they reuse the inputs of `video`

# absolute limits in fp32 on a CPU
VISUAL = 5e-6
DINO = 1e-5
SPATIAL = 1.5e-5
MERGED = 1.5e-5
FUSED = 5e-6
EMBEDS = 5e-6
HIDDEN = 2e-5
GRADIENT = 2e-5


def close(actual: Tensor, expected: Tensor, limit: float) -> None:
    assert actual.shape == expected.shape
    worst = float((actual.float() - expected.float()).abs().max())
    assert worst <= limit, f"largest difference {worst:.2e}, limit {limit:.0e}"


def run(model: SpatialMLLM, inputs: ModelInputs, labels: Tensor | None = None) -> SpatialOutput:
    with torch.inference_mode():
        return model.run(inputs, labels=labels, keep_layers=range(model.config.vggt.depth))


@pytest.fixture(scope="module")
def outputs(
    tiny_model: SpatialMLLM,
    spatial_tensors: Callable[[str], Tensors],
    case_inputs: Callable[[Tensors], ModelInputs],
) -> dict[str, tuple[Tensors, ModelInputs, SpatialOutput]]:
    results = {}
    for name in CASES:
        case = spatial_tensors(f"case_{name}.safetensors")
        inputs = case_inputs(case)
        results[name] = (case, inputs, run(tiny_model, inputs, case.get("in.labels")))
    return results


def test_every_case_is_covered(spatial_json: Callable[[str], Any]) -> None:
    assert set(spatial_json("cases.json")) == {*CASES, *DERIVED_CASES}


@pytest.mark.parametrize("name", CASES)
def test_case_tensors_are_as_listed(name: str, spatial_json: Any, spatial_tensors: Any) -> None:
    listed = spatial_json("cases.json")[name]["tensors"]
    found = spatial_tensors(f"case_{name}.safetensors")
    assert {key: [str(t.dtype).removeprefix("torch."), list(t.shape)] for key, t in found.items()} == listed


@pytest.mark.parametrize("name", CASES)
def test_encoders_and_connector(name: str, outputs: Any) -> None:
    case, _, output = outputs[name]
    compared = 0
    for kind in ("image", "video"):
        vision = getattr(output, kind)
        for key, limit, value in (
            ("visual_embeds", VISUAL, vision and vision.visual_embeds),
            ("connector_merged", MERGED, vision and vision.connector_merged),
            ("connector_mlp", FUSED, vision and vision.connector_out),
            ("fused_embeds", FUSED, vision and vision.fused),
        ):
            expected = case.get(f"out.{kind}.{key}")
            assert (expected is None) == (value is None)
            if expected is not None:
                close(value, expected, limit)
                compared += 1
        for key, expected in case.items():
            if match := re.fullmatch(rf"out\.{kind}\.spatial\.(\d+)\.layer(\d+)", key):
                close(vision.spatial.clip(int(match[1]), int(match[2])), expected, SPATIAL)
                compared += 1
    assert compared or name == "text_only"


@pytest.mark.parametrize("name", CASES)
def test_language_model(name: str, outputs: Any) -> None:
    case, inputs, output = outputs[name]
    real = inputs.attention_mask.bool()  # values at padded places mean nothing
    assert torch.equal(output.position_ids, case["out.position_ids"])
    assert torch.equal(output.rope_deltas, case["out.rope_deltas"])
    close(output.inputs_embeds[real], case["out.inputs_embeds"][real], EMBEDS)
    close(output.last_hidden_state[real], case["out.last_hidden_state"][real], HIDDEN)
    close(output.logits[real], case["out.logits"][real], HIDDEN)


@pytest.mark.parametrize("name", CASES)
def test_greedy_generation(name: str, outputs: Any, tiny_model: SpatialMLLM, spatial_json: Any) -> None:
    case, inputs, _ = outputs[name]
    expected = case["out.generated_ids"]
    generated = tiny_model.generate(inputs, max_new_tokens=expected.shape[1], eos_token_ids=(), return_logits=True)
    assert torch.equal(generated.ids, expected)
    assert generated.ids.tolist() == spatial_json("cases.json")[name]["generated_ids"]
    assert generated.logits is not None
    close(generated.logits, case["out.generated_logits"], HIDDEN)
    chosen = case["out.generated_logits"].log_softmax(-1).gather(-1, expected[..., None])[..., 0]  # [B, n]
    close(generated.log_probabilities, chosen, HIDDEN)


def test_trunk_and_patch_embedding(
    outputs: Any, tiny_model: SpatialMLLM, case_inputs: Callable[[Tensors], ModelInputs]
) -> None:
    case, inputs, _ = outputs["video"]
    seen: dict[str, Tensor] = {}
    hooks = [
        tiny_model.vggt.aggregator.patch_embed.register_forward_hook(lambda _m, _i, o: seen.update(dino=o)),
        tiny_model.visual.patch_embed.register_forward_hook(lambda _m, _i, o: seen.update(visual=o)),
    ]
    run(tiny_model, inputs)
    for hook in hooks:
        hook.remove()
    close(seen["dino"], case["out.dino_x_norm_patchtokens"], DINO)
    close(seen["visual"], case["out.visual_patch_embed"], VISUAL)


def test_layer_count_and_first_patch(outputs: Any, tiny_model: SpatialMLLM, spatial_json: Any) -> None:
    for name in CASES:
        listed = spatial_json("cases.json")[name]
        for kind in ("image", "video"):
            vision = getattr(outputs[name][2], kind)
            if vision is not None:
                assert listed[f"{kind}.num_aggregator_layers"] == tiny_model.vggt.aggregator.depth
                starts = [group.tokens.patch_start for group in vision.spatial.groups for _ in range(len(group.clips))]
                assert starts == listed[f"{kind}.patch_start_idx"]


def test_fractional_seconds_per_grid(
    tiny_model: SpatialMLLM, spatial_tensors: Any, case_inputs: Any, outputs: Any
) -> None:
    changed = spatial_tensors("case_video_spg05.safetensors")
    case = {key: value for key, value in outputs["video"][0].items() if key.startswith("in.")} | changed
    inputs = case_inputs(case)
    output = run(tiny_model, inputs)
    real = inputs.attention_mask.bool()
    assert torch.equal(output.position_ids, changed["out.position_ids"])
    assert torch.equal(output.rope_deltas, changed["out.rope_deltas"])
    close(output.last_hidden_state[real], changed["out.last_hidden_state"][real], HIDDEN)
    close(output.logits[real], changed["out.logits"][real], HIDDEN)


def test_loss_and_gradients(tiny_folder: Any, spatial_tensors: Any, case_inputs: Any, spatial_json: Any) -> None:
    model = SpatialMLLM.from_folder(tiny_folder)
    case = spatial_tensors("case_video.safetensors")
    listed = spatial_json("cases.json")["video"]
    output = model.run(case_inputs(case), labels=case["in.labels"])
    assert output.loss is not None
    output.loss.backward()  # type: ignore[no-untyped-call]
    assert abs(output.loss.item() - listed["loss"]) <= 1e-5
    parameters = dict(model.named_parameters())
    for key, expected in case.items():
        if key.startswith("out.grad."):
            gradient = parameters[key.removeprefix("out.grad.")].grad
            assert gradient is not None
            close(gradient, expected, GRADIENT)
    for part, expected_norm in listed["grad_norm"].items():
        squares = [
            float(parameter.grad.double().square().sum())
            for name, parameter in parameters.items()
            if (name == part or name.startswith(part + ".")) and parameter.grad is not None
        ]
        assert sum(squares) ** 0.5 == pytest.approx(expected_norm, rel=1e-5), part


def test_bfloat16_stays_in_the_band(
    tiny_folder: Any, spatial_tensors: Any, case_inputs: Any, outputs: Any, spatial_json: Any
) -> None:
    model = SpatialMLLM.from_folder(tiny_folder, dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    exact, inputs, _ = outputs["video"]
    output = run(model, inputs)
    assert output.video is not None
    last = model.config.vggt.depth - 1
    reference = spatial_tensors("case_video_bf16.safetensors")
    band = spatial_json("cases.json")["video_bf16"]
    for key, name, value in (
        ("out.video.visual_embeds", "visual", output.video.visual_embeds),
        (f"out.video.spatial.0.layer{last}", "spatial", output.video.spatial.clip(0)),
        ("out.video.fused_embeds", "fused", output.video.fused),
        ("out.logits", "logits", output.logits),
    ):
        width = band[f"{name}_max_abs_diff_vs_fp32"]
        assert value.dtype == reference[key].dtype == torch.bfloat16
        close(value, exact[key], 2 * width)
        # no more noise than the reference has, on average over all values
        ours = (value.float() - exact[key]).square().mean().sqrt()
        theirs = (reference[key].float() - exact[key]).square().mean().sqrt()
        assert float(ours) <= 1.25 * float(theirs), key


def test_rope_frequencies_survive_a_cast(tiny_folder: Any, tiny_model: SpatialMLLM) -> None:
    cast = SpatialMLLM.from_folder(tiny_folder).to(torch.bfloat16)
    assert cast.dtype == torch.bfloat16
    for ours, exact in (
        (cast.model.rotary_emb.inv_freq, tiny_model.model.rotary_emb.inv_freq),
        (cast.visual.rotary_pos_emb.inv_freq, tiny_model.visual.rotary_pos_emb.inv_freq),
    ):
        assert ours.dtype == torch.float32
        assert torch.equal(ours, exact)


def test_eager_attention_gives_the_same(tiny_folder: Any, outputs: Any) -> None:
    case, inputs, _ = outputs["batch2_mixed"]
    output = run(SpatialMLLM.from_folder(tiny_folder, attention="eager"), inputs)
    real = inputs.attention_mask.bool()
    close(output.logits[real], case["out.logits"][real], HIDDEN)
