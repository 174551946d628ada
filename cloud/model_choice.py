"""Which model a command loads, and how: the options that all commands of the model share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from shared.errors import BadInputError

if TYPE_CHECKING:
    from cloud.chat import Chat
    from cloud.engine import VerdictEngine
    from cloud.loading import Loaded


@dataclass(frozen=True)
class ModelChoice:
    """The model of a command, as typed; `threads` 0: as many as torch likes."""

    model: Annotated[
        str,
        typer.Option("--model", "--checkpoint", help="Shipped checkpoint, folder in the published layout, or hub id."),
    ] = "pizza-small"
    device: Annotated[str, typer.Option(help="Torch device: cpu, cuda, cuda:1.")] = "cpu"
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32"
    attention: Annotated[str, typer.Option(help="auto, sdpa, eager or flash_attention_2 (extra gpu).")] = "auto"
    threads: Annotated[int, typer.Option(min=0, help="CPU threads; 0 leaves it to torch.")] = 0

    def loaded(self) -> Loaded:
        """Its weights as they are, for a look at what is inside."""
        from cloud.loading import load_checkpoint

        return load_checkpoint(
            self.model, self.device, self.dtype, attention=self.attention, threads=self.threads or None
        )


@dataclass(frozen=True)
class EngineChoice(ModelChoice):
    """A model with the engine that runs it."""

    engine: Annotated[str, typer.Option(help="full, int8, int4, no-geometry, features or light.")] = "full"

    def load(self) -> VerdictEngine:
        """The engine."""
        from cloud.engine import load_engine

        return load_engine(
            self.model,
            self.device,
            self.dtype,
            attention=self.attention,
            threads=self.threads or None,
            engine=self.engine,
        )

    def chat(self) -> Chat:
        """The model behind it, for questions in words. Raises BadInputError for an engine without language."""
        from cloud.engine import Engine

        engine = self.load()
        if not isinstance(engine, Engine):
            raise BadInputError(
                f"engine {self.engine} has no language model: it gives verdicts and answers no questions"
            )
        return engine.chat
