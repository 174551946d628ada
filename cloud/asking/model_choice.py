"""Which model a command loads, and how."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.chat import Chat
from cloud.engine import Engine, load_engine


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Options of the commands, as typed. `threads` 0: as many as torch likes."""

    checkpoint: str
    device: str = "cpu"
    dtype: str = "float32"
    attention: str = "auto"
    engine: str = "full"
    threads: int = 0

    def load(self) -> Engine:
        """The engine."""
        return load_engine(
            self.checkpoint,
            self.device,
            self.dtype,
            attention=self.attention,
            threads=self.threads or None,
            engine=self.engine,
        )

    def chat(self) -> Chat:
        """The model behind it, for questions in words."""
        return self.load().chat
