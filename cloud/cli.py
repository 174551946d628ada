"""`crustwatch cloud`: the worker, and the training and evaluation of its model."""

from __future__ import annotations

import typer

from cloud.asking.cli import app as asking
from cloud.bench.cli import app as bench
from cloud.evaluation.cli import app as evaluation
from cloud.training.cli import app as training
from cloud.worker.cli import app as worker

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Answer escalations with Spatial-MLLM; train and evaluate it."
)
app.add_typer(asking)
app.add_typer(worker)
app.add_typer(bench)
app.add_typer(training)
app.add_typer(evaluation, name="eval")
