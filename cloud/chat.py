"""Questions about frames, answered as text: any number of clips and stills in a prompt, prompts in batches.

What the encoders make of a clip is kept, so that a second question about the same bake costs no vision at all.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cloud.constraint import AnswerConstraint, SchemaGrammar
from cloud.loading import Loaded
from cloud.media import Footage
from cloud.spatial_mllm.generation import Constraint
from cloud.spatial_mllm.geometry_pass import sample_and_encode
from cloud.spatial_mllm.model import ModelInputs
from cloud.spatial_mllm.processor import PromptRow, VisionClip
from cloud.spatial_mllm.prompts import VisualKind, chat_prompt
from cloud.spatial_mllm.sampling import even_indices
from cloud.spatial_mllm.tokenizer import IMAGE_PAD, VIDEO_PAD, text_ids, token_id
from shared.errors import BadInputError

SECONDS_PER_GRID = 1.0  # between two pairs of frames, as in the reference's evaluation and in our training
CACHE_BYTES = 256 << 20  # of fused tokens: a clip of 16 frames takes 50 MB in the full-size model, 20 kB in the small


@dataclass(frozen=True)
class Shown:
    """A clip as the model sees it.

    Attributes:
        clip: patches and frames.
        places: which frames of the footage it holds.
        key: names its content, for the feature cache.
        fused: its tokens [n, hidden] where the choice of its frames made them. They have attended to all candidates:
            encoding the chosen frames alone would give others, so they stay with the clip.
    """

    clip: VisionClip
    places: tuple[int, ...]
    key: bytes
    fused: Tensor | None = None

    @property
    def kinds(self) -> list[VisualKind]:
        """Its placeholders in the prompt."""
        return ["image"] * self.clip.grid_thw[0] if self.clip.still else ["video"]


class Kept(NamedTuple):
    """What the cache holds of a clip: its fused tokens [n, hidden], and which frames of its footage were chosen."""

    fused: Tensor
    places: tuple[int, ...]


@dataclass(frozen=True)
class Question:
    """One prompt: what is shown, in this order, and then the text."""

    text: str
    shown: tuple[Shown, ...] = ()


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        text: without the end token.
        spans: of each token the first and last character in `text` and its log probability.
        complete: the model ended it; False when the bound on tokens did.
    """

    text: str
    spans: tuple[tuple[int, int, float], ...]
    complete: bool


class Chat:
    """A loaded checkpoint that answers questions. Not for several threads at once."""

    def __init__(self, loaded: Loaded, cache_bytes: int = CACHE_BYTES) -> None:
        self.loaded = loaded
        self.model, self.processor, self.tokenizer = loaded.model, loaded.processor, loaded.tokenizer
        self.cache_hits = 0
        self._cache: OrderedDict[bytes, Kept] = OrderedDict()  # by key, the least recently used first
        self._cache_bytes = cache_bytes
        self._grammar: SchemaGrammar | None = None
        tokens = self.model.config.tokens
        for text, stated in ((VIDEO_PAD, tokens.video), (IMAGE_PAD, tokens.image)):
            if (found := token_id(self.tokenizer, text)) != stated:
                raise BadInputError(f"tokenizer.json gives {text} the id {found}, config.json {stated}: they differ")

    def show(self, footage: Footage, frames: int, *, space_aware: bool = False) -> Shown:
        """Prepare footage; of more than `frames` frames that many are chosen, evenly or by the space that they show.

        The choice by space runs the spatial encoder over all frames, once for the same footage while the cache keeps
        it; that pass also serves the answer.

        Raises MissingPartError when the checkpoint has no point head for `space_aware`.
        """
        if footage.still or not space_aware or len(footage.frames) <= frames:
            places = tuple(even_indices(len(footage.frames), frames))
            chosen = [footage.frames[place] for place in places]
            clip = self.processor.scene(chosen) if footage.still else self.processor.video(chosen)
            return Shown(clip, places, _key(clip))
        whole = self.processor.video(footage.frames)
        key = hashlib.sha256(_key(whole) + frames.to_bytes(4, "little")).digest()
        kept = self._cache.get(key)
        if kept is not None:
            self._cache.move_to_end(key)
            clip = self.processor.video([footage.frames[place] for place in kept.places])
            return Shown(clip, kept.places, key, kept.fused)
        found = sample_and_encode(self.model, self.processor, footage.frames, frames)
        shown = Shown(found.clip, tuple(found.places), key, found.fused)
        self._remember(shown, found.fused)
        return shown

    def inputs(self, questions: Sequence[Question]) -> ModelInputs:
        """A batch on the model's device, its clips encoded or taken from the cache."""
        rows = [self._row(question) for question in questions]
        batch = self.processor.batch(rows)
        self._check_ids(batch.input_ids)
        shown = [one for question in questions for one in question.shown]
        fused = self._fused(shown)
        videos = [tokens for one, tokens in zip(shown, fused, strict=True) if not one.clip.still]
        images = [tokens for one, tokens in zip(shown, fused, strict=True) if one.clip.still]
        bare = replace(batch, pixel_values=None, image_tchw=None, pixel_values_videos=None, video_tchw=None)
        return replace(
            bare,
            video_embeds=torch.cat(videos) if videos else None,
            image_embeds=torch.cat(images) if images else None,
        ).to(self.model.device)

    def constraint(self, schema: Mapping[str, Any], batch: int) -> AnswerConstraint:
        """Keeps `batch` answers to a JSON schema; see `SchemaGrammar`."""
        if self._grammar is None:
            rows = self.model.config.language.vocab_size
            self._grammar = SchemaGrammar(self.tokenizer, rows, self.model.end_token_ids)
        return self._grammar.constraint(schema, batch)

    def answer(
        self, questions: Sequence[Question], max_new_tokens: int, constraint: Constraint | None = None
    ) -> list[Reply]:
        """Answers to a batch of questions of any lengths and shapes."""
        made = self.model.generate(self.inputs(questions), max_new_tokens=max_new_tokens, constraint=constraint)
        return [
            self._reply(ids, logs) for ids, logs in zip(made.ids.tolist(), made.log_probabilities.tolist(), strict=True)
        ]

    def stream(self, question: Question, max_new_tokens: int) -> Iterator[str]:
        """The answer in pieces, each as soon as its characters are complete."""
        ids: list[int] = []
        said = ""
        for step in self.model.stream(self.inputs([question]), max_new_tokens=max_new_tokens):
            token = int(step.ids[0])
            if token in self.model.end_token_ids:
                break
            ids.append(token)
            text = str(self.tokenizer.decode(ids, skip_special_tokens=True))
            if text.endswith("\ufffd"):  # half of a character
                continue
            if text.startswith(said) and len(text) > len(said):
                yield text[len(said) :]
                said = text
        whole = str(self.tokenizer.decode(ids, skip_special_tokens=True))
        if whole.startswith(said) and len(whole) > len(said):
            yield whole[len(said) :]

    def _row(self, question: Question) -> PromptRow:
        kinds = [kind for one in question.shown for kind in one.kinds]
        videos = [one.clip for one in question.shown if not one.clip.still]
        images = [one.clip for one in question.shown if one.clip.still]
        ids = text_ids(self.tokenizer, chat_prompt(question.text, kinds))
        return PromptRow(ids, videos, [SECONDS_PER_GRID] * len(videos), images)

    def _check_ids(self, ids: Tensor) -> None:
        most, rows = int(ids.max()), self.model.config.language.vocab_size
        if most >= rows:
            raise BadInputError(f"tokenizer.json gives the prompt token {most}, but the model embeds only {rows}")

    @torch.inference_mode()
    def _fused(self, shown: Sequence[Shown]) -> list[Tensor]:
        """Fused tokens [n, hidden] of each clip; those that the cache lacks are encoded together."""
        ready = {one.key: self._cache[one.key].fused for one in shown if one.key in self._cache}
        for key in ready:
            self._cache.move_to_end(key)
        ready |= {one.key: one.fused for one in shown if one.fused is not None}
        self.cache_hits += len(ready)
        missing = list({one.key: one for one in shown if one.key not in ready}.values())
        if missing:
            clips = [one.clip for one in missing]
            grids = [row for clip in clips for row in clip.grid_rows]
            device = self.model.device
            fused = self.model.encode(
                torch.cat([clip.patches for clip in clips]).to(device),
                torch.tensor(grids, dtype=torch.int64, device=device),
                [clip.tchw.to(device) for clip in clips],
            ).fused  # [N, hidden]
            sizes = [sum(self.processor.visual_tokens(clip)) for clip in clips]
            for one, tokens in zip(missing, torch.split(fused, sizes), strict=True):
                ready[one.key] = tokens
                self._remember(one, tokens.clone())
        return [ready[one.key] for one in shown]

    def _remember(self, shown: Shown, tokens: Tensor) -> None:
        self._cache[shown.key] = Kept(tokens, shown.places)
        while len(self._cache) > 1 and sum(kept.fused.nbytes for kept in self._cache.values()) > self._cache_bytes:
            self._cache.popitem(last=False)

    def _reply(self, ids: Sequence[int], logs: Sequence[float]) -> Reply:
        ends = set(self.model.end_token_ids)
        count = next((place for place, token in enumerate(ids) if token in ends), len(ids))
        written = list(ids[:count])
        spans: list[tuple[int, int, float]] = []
        before = 0
        for place, log in enumerate(logs[:count], start=1):
            after = len(self._text(written[:place]))
            spans.append((before, after, log))
            before = after
        return Reply(self._text(written), tuple(spans), count < len(ids))

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))


def _key(clip: VisionClip) -> bytes:
    digest = hashlib.sha256(repr((clip.grid_thw, clip.still)).encode())
    digest.update(clip.tchw.numpy().tobytes())
    return digest.digest()
