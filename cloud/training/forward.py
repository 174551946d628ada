"""A training batch through the whole model: the same chat, patches and positions as at inference."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor

from cloud.spatial_mllm import ModelInputs, SpatialMLLM
from cloud.spatial_mllm.prompts import chat_prompt
from cloud.spatial_mllm.tokenizer import VIDEO_PAD, text_ids
from cloud.spatial_mllm.vggt.aggregator import IMAGE_MEAN, IMAGE_STD
from cloud.training.auxiliary import Features
from cloud.training.targets import ANSWER_TOKENS, VALUE_POSITIONS
from cloud.vocabulary import question_of
from shared.task import Task

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # OpenAI CLIP's statistics, which Qwen2.5-VL uses
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def patches_of(frames: Tensor, patch: int, merge: int) -> Tensor:
    """Frames [B, T, 3, h, w] in 0..1 as the vision tower's patches [B*T/2*h/p*w/p, 3*2*p*p].

    Order of rows as in Qwen's image processor: time, merge cell, patch within the cell.
    """
    B, T, C, height, width = frames.shape
    mean = frames.new_tensor(CLIP_MEAN).view(3, 1, 1)  # [3, 1, 1]
    std = frames.new_tensor(CLIP_STD).view(3, 1, 1)  # [3, 1, 1]
    cells = ((frames - mean) / std).view(
        B, T // 2, 2, C, height // patch // merge, merge, patch, width // patch // merge, merge, patch
    )  # [B, t, 2, 3, h/m, m, p, w/m, m, p]
    cells = cells.permute(0, 1, 4, 7, 5, 8, 3, 2, 6, 9)  # [B, t, h/m, w/m, m, m, 3, 2, p, p]
    return cells.reshape(-1, C * 2 * patch * patch)  # [N, 1176]


class TrainingForward:
    """Runs the model over clips of one shape with their answers given (teacher forcing)."""

    def __init__(self, model: SpatialMLLM, tokenizer: Tokenizer, task: Task) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._question = question_of(task)
        self._prompts: dict[int, Tensor] = {}  # visual tokens -> int64 [L]

    def _prompt(self, visual_tokens: int) -> Tensor:
        if visual_tokens not in self._prompts:
            text = chat_prompt(self._question).replace(VIDEO_PAD, VIDEO_PAD * visual_tokens)
            ids = text_ids(self._tokenizer, text)
            self._prompts[visual_tokens] = torch.tensor(ids)  # [L]
        return self._prompts[visual_tokens]

    def __call__(self, frames: Tensor, answers: Tensor) -> tuple[Tensor, Features]:
        """Logits of every answer token [B, 16, V], and what the auxiliary losses look at.

        Args:
            frames: float32 [B, T, 3, h, w] in 0..1, T even.
            answers: int64 [B, 16]; a token is predicted from those before it.
        """
        vision = self._model.config.vision
        B, T, _, height, width = frames.shape
        rows, columns = height // vision.patch_size, width // vision.patch_size
        merge = vision.spatial_merge_size
        prompt = self._prompt(T // 2 * rows * columns // merge**2)  # [L]
        ids = torch.cat((prompt.expand(B, -1), answers[:, :-1]), dim=1)  # [B, L + 15]
        out = self._model.run(
            ModelInputs(
                input_ids=ids,
                pixel_values_videos=patches_of(frames, vision.patch_size, merge),
                video_grid_thw=torch.tensor([[T // 2, rows, columns]] * B),
                video_tchw=list(frames),
                second_per_grid_ts=torch.ones(B),
            )
        )
        if out.video is None:
            raise AssertionError("every training batch has frames")
        patches = cameras = None
        for group in out.video.spatial.groups:  # one, as all clips have one shape; none without geometry
            last = group.tokens.last()  # [B, T, P, 2C]
            patches = last[:, :, group.tokens.patch_start :].reshape(B, T, rows, columns, -1)
            cameras = last[:, :, 0]
        first = len(prompt) - 1  # the place that predicts the first answer token
        features = Features(
            patches=patches,
            cameras=cameras,
            fused=out.video.fused.view(B, T // 2, rows // merge, columns // merge, -1),
            answer=out.last_hidden_state[:, first + VALUE_POSITIONS[0]],  # after the fragment that opens the doneness
            hour=out.last_hidden_state[:, first + VALUE_POSITIONS[3]],
        )
        return out.logits[:, first : first + ANSWER_TOKENS], features

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """The spatial encoder alone over frames [B, T, 3, h, w].

        Returns its patches [B, T, rows, columns, 2C] and camera tokens [B, T, 2C].

        Raises MissingPartError for a model without geometry.
        """
        tokens = self._model.vggt.aggregator(frames)
        last = tokens.last()  # [B, T, P, 2C]
        p = self._model.config.vision.patch_size
        B, T, _, height, width = frames.shape
        return last[:, :, tokens.patch_start :].reshape(B, T, height // p, width // p, -1), last[:, :, 0]

    def encoder_inputs(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """What each encoder's patch embedding sees of `frames` [B, T, 3, h, w].

        Returns [B*T, 3, h, w] (ImageNet-normalised) and [N, 3, 2, p, p] (CLIP-normalised patches of frame pairs).
        """
        vision = self._model.config.vision
        mean = frames.new_tensor(IMAGE_MEAN).view(3, 1, 1)  # [3, 1, 1]
        std = frames.new_tensor(IMAGE_STD).view(3, 1, 1)  # [3, 1, 1]
        patches = patches_of(frames, vision.patch_size, vision.spatial_merge_size)  # [N, 1176]
        return ((frames - mean) / std).flatten(0, 1), patches.view(-1, 3, 2, vision.patch_size, vision.patch_size)
