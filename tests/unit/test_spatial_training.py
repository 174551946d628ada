"""The model trains: gradients reach every part that a loss uses, parts can be frozen, a clip can be learned."""

import pytest
import torch
from spatial_folder import small_config
from torch import Tensor

from cloud.spatial_mllm import ModelInputs, SpatialMLLM, TokenIds
from shared.errors import BadInputError

CONFIG = small_config(40, TokenIds(vision_start=30, vision_end=31, image=32, video=33, bos=34, eos=35, pad=36))
ROWS = COLUMNS = 4  # patches


@pytest.fixture
def model() -> SpatialMLLM:
    torch.manual_seed(0)
    return SpatialMLLM(CONFIG)


@pytest.fixture
def batch() -> tuple[ModelInputs, Tensor]:
    """Two clips of four frames, bright and dark, and the token that names each."""
    generator = torch.Generator().manual_seed(1)
    clips = torch.rand(2, 4, 3, 14 * ROWS, 14 * COLUMNS, generator=generator)  # [B, T, 3, H, W]
    clips[1] *= 0.2
    patches = torch.rand(2, 2 * ROWS * COLUMNS, 3 * 2 * 14 * 14, generator=generator)  # [B, t*h*w, 1176]
    patches[1] *= 0.2
    visual = [33] * (2 * ROWS * COLUMNS // 4)
    ids = torch.tensor([[30, *visual, 31, 1, 5, 35], [30, *visual, 31, 1, 7, 35]])  # [B, L]
    labels = ids.clone()
    labels[:, :-2] = -100
    grid = torch.tensor([[2, ROWS, COLUMNS]] * 2)  # [2, 3]
    return ModelInputs(ids, None, patches.flatten(0, 1), grid, list(clips)), labels


def test_gradients_reach_every_part_that_the_losses_use(model: SpatialMLLM, batch: tuple[ModelInputs, Tensor]) -> None:
    inputs, labels = batch
    output = model.run(inputs, labels=labels, keep_layers=model.vggt.head_layers)
    assert output.loss is not None
    assert output.video is not None
    (group,) = output.video.spatial.groups
    assert group.clips == (0, 1)
    assert model.vggt.depth_head is not None
    assert model.vggt.point_head is not None
    assert model.vggt.camera_head is not None
    depth, depth_confidence = model.vggt.depth_head(group.tokens)
    points, point_confidence = model.vggt.point_head(group.tokens)
    poses = model.vggt.camera_head(group.tokens)
    auxiliary = [depth, depth_confidence, points, point_confidence, *poses]
    loss = output.loss + torch.stack([value.square().mean() for value in auxiliary]).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {"spatial_encoder.vggt_model.aggregator.patch_embed.mask_token"}


def test_the_first_iteration_of_the_camera_head_starts_empty(model: SpatialMLLM) -> None:
    """Later iterations see the detached pose: the empty pose token is used once."""
    assert model.vggt.camera_head is not None
    images = torch.rand(1, 2, 3, 56, 56, generator=torch.Generator().manual_seed(2))  # [B, S, 3, H, W]
    poses = model.vggt.camera_head(model.vggt.aggregator(images))
    assert len(poses) == 4
    first = torch.autograd.grad(poses[0].sum(), model.vggt.camera_head.empty_pose_tokens, allow_unused=True)[0]
    assert first is not None
    poses = model.vggt.camera_head(model.vggt.aggregator(images))
    last = torch.autograd.grad(poses[-1][..., :7].sum(), model.vggt.camera_head.empty_pose_tokens, allow_unused=True)[0]
    assert last is None


def test_a_field_of_view_is_never_negative(model: SpatialMLLM) -> None:
    head = model.vggt.camera_head
    assert head is not None
    images = torch.rand(1, 2, 3, 56, 56, generator=torch.Generator().manual_seed(3))  # [B, S, 3, H, W]
    with torch.no_grad():
        head.pose_branch.fc2.bias.fill_(-5.0)
        poses = head(model.vggt.aggregator(images))
    assert all(bool((pose[..., 7:] == 0).all()) for pose in poses)
    assert all(bool((pose[..., :7] < 0).all()) for pose in poses)  # only the field of view is cut


def test_freeze(model: SpatialMLLM, batch: tuple[ModelInputs, Tensor]) -> None:
    model.freeze(["visual.blocks", "visual.patch_embed", "spatial_encoder"])
    inputs, labels = batch
    loss = model.run(inputs, labels=labels).loss
    assert loss is not None
    loss.backward()  # type: ignore[no-untyped-call]
    trained = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {"visual", "model", "connector"}
    assert all(parameter.grad is None for parameter in model.spatial_encoder.parameters())
    with pytest.raises(BadInputError, match="starts with 'viusal'"):
        model.freeze(["viusal"])


def test_training_and_evaluation_mode_agree(model: SpatialMLLM, batch: tuple[ModelInputs, Tensor]) -> None:
    """Nothing drops out."""
    inputs, labels = batch
    with torch.no_grad():
        training = model.train().run(inputs, labels=labels)
        evaluation = model.eval().run(inputs, labels=labels)
    assert torch.equal(training.logits, evaluation.logits)


def test_two_clips_can_be_told_apart(model: SpatialMLLM, batch: tuple[ModelInputs, Tensor]) -> None:
    inputs, labels = batch
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(30):
        loss = model.run(inputs, labels=labels).loss
        assert loss is not None
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    prompt = ModelInputs(
        inputs.input_ids[:, :-2], None, inputs.pixel_values_videos, inputs.video_grid_thw, inputs.video_tchw
    )
    generated = model.generate(prompt, max_new_tokens=4)
    assert generated.ids.tolist() == [[5, 35], [7, 35]]
    assert bool((generated.log_probabilities.exp() > 0.8).all())
