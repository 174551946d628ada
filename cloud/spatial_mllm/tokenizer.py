"""The checkpoint's `tokenizer.json`, read with the tokenizers package, and the special tokens of Qwen2.5-VL's chat."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from shared.errors import BadInputError

PAD, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END = "<|vision_start|>", "<|vision_end|>"
IMAGE_PAD, VIDEO_PAD = "<|image_pad|>", "<|video_pad|>"
SPECIAL = (PAD, IM_START, IM_END, VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD)


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a `tokenizer.json`. Raises BadInputError when it cannot be read or lacks a token of the chat."""
    try:
        tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the Rust side raises plain Exception for a broken file
        raise BadInputError(f"{path}: not a tokenizer: {error}") from None
    if missing := [token for token in SPECIAL if tokenizer.token_to_id(token) is None]:
        raise BadInputError(f"{path}: the vocabulary lacks {', '.join(missing)}")
    return tokenizer


def token_id(tokenizer: Tokenizer, token: str) -> int:
    """Id of `token`; BadInputError when the vocabulary lacks it."""
    index = tokenizer.token_to_id(token)
    if index is None:
        raise BadInputError(f"the vocabulary lacks {token!r}")
    return int(index)


def text_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Token ids of `text`; special tokens in it become their ids, none is added."""
    return list(tokenizer.encode(text, add_special_tokens=False).ids)
