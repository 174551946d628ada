"""What `crustwatch cloud ask` does."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cloud.asking.model_choice import ModelChoice
from cloud.chat import Chat, Question, Shown
from cloud.media import Footage, read_pictures, read_video
from cloud.spatial_mllm.sampling import MAX_CANDIDATES
from shared.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Sight:
    """What is shown, as typed."""

    videos: list[Path]
    pictures: list[Path]
    apart: bool = False
    frames: int = 16
    sampling: str = "even"
    reader: str = "av"

    def footage(self) -> list[Footage]:
        """Videos first, then pictures, read. Raises BadInputError for what cannot be read."""
        if self.sampling not in ("even", "space"):
            raise BadInputError(f"sampling {self.sampling!r}: choose even or space")
        count = max(self.frames, MAX_CANDIDATES) if self.sampling == "space" else self.frames
        found = [read_video(path, count, self.reader) for path in self.videos]
        if self.pictures:
            found += read_pictures(self.pictures, apart=self.apart)
        return found

    def shown(self, chat: Chat, footage: list[Footage]) -> list[Shown]:
        """The footage as the model sees it; pictures are all shown."""
        return [
            chat.show(one, len(one.frames) if one.still else self.frames, space_aware=self.sampling == "space")
            for one in footage
        ]


def run_ask(choice: ModelChoice, sight: Sight, prompt: str, max_tokens: int, as_json: bool) -> None:
    """Print the answer while it is made, or one JSON object."""
    footage = sight.footage()
    chat = choice.chat()
    started = time.perf_counter()
    shown = sight.shown(chat, footage)
    pieces: list[str] = []
    first_s = None
    for piece in chat.stream(Question(prompt, tuple(shown)), max_tokens):
        first_s = first_s or time.perf_counter() - started
        pieces.append(piece)
        if not as_json:
            sys.stdout.write(piece)
            sys.stdout.flush()
    if not as_json:
        sys.stdout.write("\n")
        return
    answer = {
        "answer": "".join(pieces),
        "model": chat.loaded.name,
        "engine": choice.engine,
        "weights_sha256": chat.loaded.weights_sha256,
        "attention": chat.model.attention,
        "device": str(chat.model.device),
        "frames": {
            one.name: [one.places[place] for place in seen.places] for one, seen in zip(footage, shown, strict=True)
        },
        "seconds_to_first_text": None if first_s is None else round(first_s, 3),
        "seconds": round(time.perf_counter() - started, 3),
    }
    print(json.dumps(answer))  # noqa: T201 - the command's output
