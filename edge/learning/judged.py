"""Which model a command judges, and by what: the options that evaluate, certify and compare share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from edge.learning.options import Cache, Data, Processes, TaskName

if TYPE_CHECKING:
    from edge.learning.frames import FrameSet
    from edge.learning.model_folder import ModelFolder
    from shared.task import Task


class Opened(NamedTuple):
    """A model that was read."""

    place: Path
    folder: ModelFolder
    task: Task  # with the side of the model's input
    photographs: str | None  # to judge by; None: rendered bakes


@dataclass(frozen=True)
class Judged:
    """A model and what judges it, as typed: rendered bakes, or photographs that it has not learnt from."""

    task: TaskName = "pizza"
    model: Annotated[Path | None, typer.Option(help="Folder of the model; default: the shipped one.")] = None
    data: Data = None
    split_seed: Annotated[
        int | None,
        typer.Option(help="Leave the training part of this split of photographs out; default: as trained.", min=0),
    ] = None
    cache: Cache = None
    processes: Processes = 1

    def opened(self) -> Opened:
        """Read the model. Raises BadInputError, also when it is one of another task."""
        from edge.learning.commands import data_of, shipped_model
        from edge.learning.model_folder import read_model_of
        from shared.task import load_task

        task = load_task(self.task)
        place = self.model or shipped_model(task.name)
        folder, task = read_model_of(place, task)
        return Opened(place, folder, task, data_of(task, self.data))

    def rendered(self, task: Task, *parts: tuple[int, int]) -> list[FrameSet]:
        """The bakes of each seed and number, rendered where they are not in the cache yet."""
        from edge.learning.frames import FrameStore
        from edge.learning.progress import TerminalReporter
        from shared.cache_folder import cache_folder

        with TerminalReporter() as reporter:
            store = FrameStore(self.cache or cache_folder(), task, self.processes)
            return [store.load(seed, bakes, reporter.stage(f"frames of seed {seed}", bakes)) for seed, bakes in parts]
