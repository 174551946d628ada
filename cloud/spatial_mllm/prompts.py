"""Chat text of Qwen2.5-VL, for inference and for training.

The template is the checkpoint's own: a fixed system message, then turns of user and assistant. In training only what
the assistant says is labelled, its end mark and the line break after it included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tokenizers import Tokenizer

from cloud.spatial_mllm.tokenizer import IMAGE_PAD, VIDEO_PAD, VISION_END, VISION_START, text_ids
from shared.errors import BadInputError

SYSTEM_MESSAGE = "You are a helpful assistant."
IGNORED_LABEL = -100
PLACEHOLDERS = {"image": IMAGE_PAD, "video": VIDEO_PAD}

VisualKind = Literal["image", "video"]


@dataclass(frozen=True)
class TrainingExample:
    """Token ids and labels of one conversation, equally long; -100 labels what is not learned."""

    input_ids: list[int]
    labels: list[int]


def visual_text(kind: VisualKind, tokens: int = 1) -> str:
    """A visual's place in the text, with `tokens` placeholders."""
    return f"{VISION_START}{PLACEHOLDERS[kind] * tokens}{VISION_END}"


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
    input_ids = text_ids(tokenizer, turn("system", SYSTEM_MESSAGE))
    labels = [IGNORED_LABEL] * len(input_ids)
    for sentence in conversations:
        role = roles.get(sentence["from"])
        if role is None:
            raise BadInputError(f"conversation: a turn is from human or gpt, not {sentence['from']!r}")
        parts = sentence["value"].split(f"<{kind}>")
        if len(parts) - 1 > len(waiting):
            raise BadInputError(f"conversation: more <{kind}> marks than visuals ({len(tokens_per_visual)})")
        content = parts[0] + "".join(visual_text(kind, waiting.pop(0)) + part for part in parts[1:])
        ids = text_ids(tokenizer, turn(role, content))
        input_ids += ids
        if role == "assistant":
            header = len(text_ids(tokenizer, f"<|im_start|>{role}\n"))
            labels += [IGNORED_LABEL] * header + ids[header:]
        else:
            labels += [IGNORED_LABEL] * len(ids)
    if waiting:
        raise BadInputError(f"conversation: {len(waiting)} visuals have no <{kind}> mark")
    return TrainingExample(input_ids, labels)
