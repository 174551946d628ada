"""elpv: 2,624 real electroluminescence photographs of solar cells (Buerhop-Lutz et al. 2018; package elpv-dataset).

The package is licensed CC BY-NC-SA 4.0, so nothing of it is shipped here. Its labels are probabilities of a defect
(0, 1/3, 2/3, 1); over one half is `defective`, as in the data set's own paper (Deitsch et al. 2019). It does not say
which module a cell comes from, and cells of one module share a look and often a fate: a split must not tear them apart.
The files run module by module: the lengths of the stretches of one type (mono, poly) are nearly all multiples of 60. So
60 neighbouring cells of one stretch are taken for a module, with a rest of up to 12 added to the last (a module of 72).
That gives 18 mono and 26 poly modules, the numbers in the paper. Two stretches (714, 530 cells) hold modules of other
sizes as well; inside them borders may be off by some cells.
"""

from __future__ import annotations

from importlib import resources
from itertools import groupby
from pathlib import Path

from edge.datasets.labelled import Entry
from shared.errors import MissingPartError
from shared.task import Task

MODULE_CELLS = 60
REST_CELLS = 12  # more cells at the end of a stretch than this are a module of their own
DEFECTIVE_FROM = 0.5


def elpv_entries(task: Task) -> list[Entry]:
    """All cells, in the package's order. Raises MissingPartError without the package."""
    try:
        data = Path(str(resources.files("elpv_dataset") / "data"))
    except ModuleNotFoundError:
        raise MissingPartError("task elpv needs its photographs: pip install elpv-dataset==1.0.0.post1") from None
    with (data / "labels.csv").open(encoding="ascii") as file:
        rows = [(name, float(grade), kind) for name, grade, kind in (line.split() for line in file)]
    groups = modules_of([kind for _, _, kind in rows])
    entries = []
    for (name, grade, _), group in zip(rows, groups, strict=True):
        label = "defective" if grade > DEFECTIVE_FROM else "functional"
        entries.append(Entry(data / name, task.index(label), str(group), Path(name).name, (1 - grade, grade)))
    return entries


def modules_of(kinds: list[str]) -> list[int]:
    """The number of each cell's module, from the types of the cells in the package's order."""
    numbers: list[int] = []
    for _, stretch in groupby(kinds):
        cells = len(list(stretch))
        first = numbers[-1] + 1 if numbers else 0
        rest = cells % MODULE_CELLS
        modules = max(1, cells // MODULE_CELLS + (rest > REST_CELLS))
        numbers += [first + min(cell // MODULE_CELLS, modules - 1) for cell in range(cells)]
    return numbers
