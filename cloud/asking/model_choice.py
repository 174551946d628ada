"""Which model a command loads, and how."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.chat import Chat
from cloud.loading import load_checkpoint
from shared.errors import BadInputError

LANGUAGE_ENGINES = ("full", "int8", "int4", "no-geometry")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Options of the commands, as typed. `threads` 0: as many as torch likes."""

    checkpoint: str
    device: str = "cpu"
    dtype: str = "float32"
    attention: str = "auto"
    engine: str = "full"
    threads: int = 0

    def chat(self) -> Chat:
        """The loaded model. Raises BadInputError for an engine that cannot answer in words."""
        if self.engine not in LANGUAGE_ENGINES:
            raise BadInputError(f"engine {self.engine!r} does not answer in words: {', '.join(LANGUAGE_ENGINES)} do")
        return Chat(
            load_checkpoint(
                self.checkpoint,
                self.device,
                self.dtype,
                attention=self.attention,
                threads=self.threads or None,
                geometry=self.engine != "no-geometry",
                weights=self.engine if self.engine in ("int8", "int4") else "full",
            )
        )
