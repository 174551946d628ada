"""elpv: 2,624 real electroluminescence photographs of solar cells (Buerhop-Lutz et al. 2018; package elpv-dataset).

The package is licensed CC BY-NC-SA 4.0, so nothing of it is shipped here. Its labels are probabilities of a defect
(0, 1/3, 2/3, 1); over one half is `defective`, as in the data set's own paper (Deitsch et al. 2019). It does not say
which module a cell comes from. Its files run module by module, so stretches of 60 neighbouring cells of one type stand
for modules: cells of one module share a look, and a split must not tear them apart.
"""

from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path

from edge.datasets.labelled import Entry
from shared.errors import MissingPartError
from shared.task import Task

GROUP_CELLS = 60
DEFECTIVE_FROM = 0.5


def elpv_entries(task: Task) -> list[Entry]:
    """All cells, in the package's order. Raises MissingPartError without the package."""
    try:
        data = Path(str(resources.files("elpv_dataset") / "data"))
    except ModuleNotFoundError:
        raise MissingPartError("task elpv needs its photographs: pip install elpv-dataset==1.0.0.post1") from None
    entries: list[Entry] = []
    run, inside, before = 0, 0, ""
    with (data / "labels.csv").open(encoding="ascii", newline="") as file:
        for name, probability, kind in csv.reader(" ".join(line.split()).replace(" ", ",") + "\n" for line in file):
            run, inside = (run, inside + 1) if kind == before else (run + 1, 0)
            before = kind
            label = "defective" if float(probability) > DEFECTIVE_FROM else "functional"
            entries.append(Entry(data / name, task.index(label), f"{run}/{inside // GROUP_CELLS}", Path(name).name))
    return entries
