"""Chat text of Qwen2.5-VL, for inference and for training.

The template is the checkpoint's own: a fixed system message, then turns of user and assistant. In training only what
the assistant says is labelled, its end mark and the line break after it included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.errors import BadInputError

SYSTEM_MESSAGE = "You are a helpful assistant."
IGNORED_LABEL = -100
PLACEHOLDERS = {"image": "<|image_pad|>", "video": "<|video_pad|>"}

VisualKind = Literal["image", "video"]


class Tokenizer(Protocol):
    """What is needed of a tokenizer; `HfTokenizer` wraps the `tokenizers` package."""

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; special tokens in it become their ids, none is added."""
        ...


class HfTokenizer:
    """A `tokenizer.json` read with the `tokenizers` package."""

    def __init__(self, path: str) -> None:
        from tokenizers import Tokenizer as Backend

        self._backend = Backend.from_file(path)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`."""
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, special tokens left out."""
        return str(self._backend.decode(list(ids), skip_special_tokens=True))


@dataclass(frozen=True)
class TrainingExample:
    """Token ids and labels of one conversation, equally long; -100 labels what is not learned."""

    input_ids: list[int]
    labels: list[int]


def visual_text(kind: VisualKind, tokens: int = 1) -> str:
    """A visual's place in the text, with `tokens` placeholders."""
    return f"<|vision_start|>{PLACEHOLDERS[kind] * tokens}<|vision_end|>"


def turn(role: str, content: str) -> str:
    """One closed turn of the conversation."""
    return f"<|im_start|>{role}\n{content}<|im_end|>\n"


def chat_prompt(question: str, visuals: Sequence[VisualKind] = ("video",)) -> str:
    """Prompt that ends where the answer begins. Each visual has one placeholder (`Processor.batch` repeats it)."""
    content = "".join(visual_text(kind) for kind in visuals) + "\n" + question if visuals else question
    return turn("system", SYSTEM_MESSAGE) + turn("user", content) + "<|im_start|>assistant\n"


def training_example(
    tokenizer: Tokenizer,
    conversations: Sequence[Mapping[str, str]],
    kind: VisualKind,
    tokens_per_visual: Sequence[int],
) -> TrainingExample:
    """Ids and labels of a conversation in the reference's data format.

    Args:
        tokenizer: of the checkpoint.
        conversations: turns with `from` ("human" or "gpt") and `value`; `<image>` or `<video>` marks a visual.
        kind: which of the two marks the text uses.
        tokens_per_visual: placeholders of each visual, in order.

    Raises:
        BadInputError: an unknown speaker, or marks that do not match the visuals.
    """
    roles = {"human": "user", "gpt": "assistant"}
    waiting = list(tokens_per_visual)
    input_ids = tokenizer.encode(turn("system", SYSTEM_MESSAGE))
    labels = [IGNORED_LABEL] * len(input_ids)
    for sentence in conversations:
        role = roles.get(sentence["from"])
        if role is None:
            raise BadInputError(f"conversation: a turn is from human or gpt, not {sentence['from']!r}")
        parts = sentence["value"].split(f"<{kind}>")
        if len(parts) - 1 > len(waiting):
            raise BadInputError(f"conversation: more <{kind}> marks than visuals ({len(tokens_per_visual)})")
        content = parts[0] + "".join(visual_text(kind, waiting.pop(0)) + part for part in parts[1:])
        ids = tokenizer.encode(turn(role, content))
        input_ids += ids
        if role == "assistant":
            header = len(tokenizer.encode(f"<|im_start|>{role}\n"))
            labels += [IGNORED_LABEL] * header + ids[header:]
        else:
            labels += [IGNORED_LABEL] * len(ids)
    if waiting:
        raise BadInputError(f"conversation: {len(waiting)} visuals have no <{kind}> mark")
    return TrainingExample(input_ids, labels)
