"""The engine: a checkpoint that turns the frames of one bake into a verdict.

It takes any checkpoint folder of the published layout: the small one that is shipped, or the full-size model.
Sampling is greedy and nothing is random, so equal frames give equal verdicts.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.errors import BadInputError, MissingPartError

try:
    import torch
    import transformers  # noqa: F401 - what the model is built from; missed here with the same one line
    from tokenizers import Tokenizer
except ImportError as error:
    raise MissingPartError(f"{error.name} is missing: pip install 'crustwatch[cloud]'") from error

from cloud.answer import AnswerError, Findings, cannot_tell, doneness_span, parse_answer, verdict_of
from cloud.spatial_mllm import SpatialMLLM
from cloud.spatial_mllm.processor import Processor, PromptRow
from cloud.spatial_mllm.prompts import chat_prompt
from cloud.spatial_mllm.sampling import even_indices, space_aware_frames
from cloud.spatial_mllm.tokenizer import load_tokenizer, text_ids
from cloud.vocabulary import prompt_question
from shared.messages import BakeVerdict, Provenance
from shared.task import Task

SHIPPED = "pizza-small"
MAX_ANSWER_TOKENS = 128  # an answer takes 16 small tokens, about 60 of Qwen's
SECONDS_PER_GRID = 1.0  # between two pairs of frames, as in the reference's evaluation and in our training
MAX_SIDES_RATIO = 16.0
_HASH_BLOCK = 1 << 20  # bytes

_DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def checkpoint_folder(checkpoint: str | Path) -> Path:
    """The folder of a shipped checkpoint by name, or a local folder.

    Raises MissingPartError when neither exists.
    """
    if Path(checkpoint).is_dir():
        return Path(checkpoint)
    shipped = Path(str(resources.files("cloud") / "checkpoints"))
    if isinstance(checkpoint, str) and checkpoint.replace("-", "").isalnum() and (shipped / checkpoint).is_dir():
        return shipped / checkpoint
    names = sorted(path.name for path in shipped.iterdir() if path.is_dir()) if shipped.is_dir() else []
    raise MissingPartError(
        f"no checkpoint {str(checkpoint)!r}: name a folder with config.json and model.safetensors, or one of "
        f"{', '.join(names) or 'none shipped'}"
    )


def load_engine(
    checkpoint: str | Path = SHIPPED,
    device: str = "cpu",
    dtype: str = "float32",
    *,
    attention: str = "auto",
    threads: int | None = None,
) -> Engine:
    """Load a checkpoint.

    Args:
        checkpoint: name of a shipped checkpoint, or a folder.
        device: torch device.
        dtype: float32, bfloat16 or float16.
        attention: "auto", "sdpa", "eager" or "flash_attention_2" in the Qwen parts; auto takes the best that there is.
        threads: CPU threads of torch, for the whole process; None leaves them alone.

    Raises:
        MissingPartError: the checkpoint or a part of it is not there.
        BadInputError: the checkpoint or an argument is not what it should be.
    """
    if dtype not in _DTYPES:
        raise BadInputError(f"dtype {dtype!r}: choose one of {', '.join(_DTYPES)}")
    try:
        where = torch.device(device)
    except RuntimeError:
        raise BadInputError(f"device {device!r} is not one of torch's: cpu, cuda, cuda:0, ...") from None
    if where.type == "cuda" and not torch.cuda.is_available():
        raise MissingPartError("no CUDA device is available to torch: use --device cpu, or install a CUDA torch")
    if threads is not None:
        if threads < 1:
            raise BadInputError(f"threads must be 1 or more, not {threads}")
        torch.set_num_threads(threads)
    folder = checkpoint_folder(checkpoint)
    model = SpatialMLLM.from_folder(folder, dtype=_DTYPES[dtype], device=where, attention=attention)
    tokenizer_file = folder / "tokenizer.json"
    if not tokenizer_file.is_file():
        raise MissingPartError(f"{tokenizer_file} does not exist: copy the checkpoint's tokenizer.json there")
    return Engine(
        folder.name,
        model,
        Processor.from_folder(folder, model.config),
        load_tokenizer(tokenizer_file),
        weights_sha256=_sha256_of_weights(folder),
    )


class Engine:
    """A loaded checkpoint. One verdict at a time; not for several threads at once."""

    def __init__(
        self,
        name: str,
        model: SpatialMLLM,
        processor: Processor,
        tokenizer: Tokenizer,
        *,
        weights_sha256: str,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.name = name
        self.model = model
        self.weights_sha256 = weights_sha256
        self._processor = processor
        self._tokenizer = tokenizer
        self._clock = clock

    def verdict(self, frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float], task: Task) -> BakeVerdict:
        """The verdict on frames uint8 [H, W, 3] RGB taken at `times_s`, any number and size.

        Of more frames than the task's clips have, that many are chosen: by the space that they show when the
        checkpoint has the heads for it, else evenly. A single one is looked at as a still. An answer that breaks its
        form gives `cannot_tell` with the reason.

        Raises BadInputError for an empty clip, other dtypes or shapes, frames longer than 16:1, and times that are
        not one finite number a frame.
        """
        started = self._clock()
        _check(frames, times_s)
        in_time = sorted(range(len(frames)), key=lambda index: (times_s[index], index))
        shown = _one_size([frames[index] for index in in_time])
        places = self._choose(shown, task.escalation.frames)
        text, confidences = self._answer([shown[place] for place in places], task)
        provenance = Provenance(
            model=self.name,
            weights_sha256=self.weights_sha256,
            prompt_sha256=hashlib.sha256(chat_prompt(prompt_question(task, self._tokenizer)).encode()).hexdigest(),
            frames_used=tuple(in_time[place] for place in places),
            geometry=True,
            attention=self.model.attention,
            device=str(self.model.device),
            seconds=self._clock() - started,
        )
        try:
            answer = parse_answer(text, task)
        except AnswerError as error:
            return cannot_tell(str(error), provenance)
        start, end = doneness_span(text, answer)
        confidence = math.exp(sum(log for first, last, log in confidences if first < end and last > start))
        return verdict_of(Findings(answer, min(1.0, confidence)), provenance)

    def _choose(self, frames: Sequence[NDArray[np.uint8]], most: int) -> list[int]:
        """Indices of at most `most` of `frames`, ascending."""
        vggt = self.model.vggt
        if len(frames) <= most or vggt.camera_head is None or vggt.point_head is None:
            return even_indices(len(frames), most)
        return space_aware_frames(vggt, frames, most)

    def _answer(self, frames: Sequence[NDArray[np.uint8]], task: Task) -> tuple[str, list[tuple[int, int, float]]]:
        """The model's text, and for each of its tokens: first and last character, log probability."""
        clip = self._processor.video(frames)
        prompt = text_ids(self._tokenizer, chat_prompt(prompt_question(task, self._tokenizer)))
        inputs = self._processor.batch([PromptRow(prompt, [clip], [SECONDS_PER_GRID])]).to(self.model.device)
        made = self.model.generate(inputs, max_new_tokens=MAX_ANSWER_TOKENS)
        ids = made.ids[0]  # [n]
        logs = made.log_probabilities[0]  # [n]
        ends = {*self.model.end_token_ids, self.model.config.tokens.pad}
        written = [int(token) for token in ids if int(token) not in ends]
        spans = []
        before = 0
        for count, log in enumerate(logs.tolist()[: len(written)], start=1):
            after = len(self._text(written[:count]))
            spans.append((before, after, log))
            before = after
        return self._text(written), spans

    def _text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False))


def _check(frames: Sequence[NDArray[np.uint8]], times_s: Sequence[float]) -> None:
    if not frames:
        raise BadInputError("a clip has at least one frame")
    if len(frames) != len(times_s) or not all(math.isfinite(at) for at in times_s):
        raise BadInputError(f"{len(frames)} frames need as many finite capture times, not {list(times_s)[:8]}")
    for frame in frames:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or min(frame.shape[:2]) < 1:
            raise BadInputError(f"a frame is uint8 [H, W, 3] RGB, not {frame.dtype} {list(frame.shape)}")
        if max(frame.shape[:2]) > MAX_SIDES_RATIO * min(frame.shape[:2]):
            raise BadInputError(f"a frame of {frame.shape[1]}x{frame.shape[0]} pixels is longer than 16:1")


def _one_size(frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Frames of the first one's size; a clip from one camera already is."""
    height, width = frames[0].shape[:2]
    return [
        frame if frame.shape[:2] == (height, width) else np.asarray(Image.fromarray(frame).resize((width, height)))
        for frame in frames
    ]


def _sha256_of_weights(folder: Path) -> str:
    """SHA-256 over the weight files of a folder in the order of their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            while block := file.read(_HASH_BLOCK):
                digest.update(block)
    return digest.hexdigest()
