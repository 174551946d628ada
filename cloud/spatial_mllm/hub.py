"""Checkpoints by their name on a model hub (`owner/name`), through huggingface_hub and its own cache."""

import re
from pathlib import Path

from shared.errors import BadInputError, MissingPartError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")
WANTED = ["*.json", "*.safetensors", "*.txt", "*.md"]  # weights, sizes, vocabulary, licence


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form owner/name, or owner/name@revision."""
    return _ID.fullmatch(name) is not None


def fetch(name: str) -> Path:
    """The local folder of a checkpoint on the hub, downloaded once (with a progress bar) and then taken from the cache.

    HF_ENDPOINT, HF_HUB_CACHE and HF_HUB_OFFLINE act as everywhere else. Weights bring their own licences.

    Raises:
        BadInputError: `name` is no hub id. MissingPartError: the hub has no such checkpoint or cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if not is_hub_id(name):
        raise BadInputError(f"{name!r} is no hub id: owner/name, or owner/name@revision")
    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=WANTED))
    except HFValidationError as error:
        raise BadInputError(f"{name!r} is no hub id: {error}") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        words = str(error).strip().splitlines()
        raise MissingPartError(
            f"checkpoint {name} is neither in the cache nor can it be fetched: {words[0] if words else error!r}"
        ) from None
