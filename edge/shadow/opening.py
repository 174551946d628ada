"""A shadow from a challenger's folder."""

from __future__ import annotations

from pathlib import Path

from edge.devices import open_device
from edge.shadow.record import ShadowRecord
from edge.shadow.shadow import Shadow, Write
from edge.watch.opening import open_guard
from shared.task import Task

CERTIFICATE = "certificate.json"
SHADOW_DEVICE = "litert"  # the integers of the chip, without a second chip


def nowhere(record: ShadowRecord) -> None:
    """Without a store the record is counted only."""


def open_shadow(
    model: Path,
    task: Task,
    champion_sha256: str,
    *,
    task_name: str = "pizza",
    write: Write = nowhere,
    signer: str | None = None,
    device: str = SHADOW_DEVICE,
) -> Shadow:
    """The challenger in folder `model`, with the thresholds of its certificate when one lies beside it.

    `signer` is the base64 public key that must have signed that. Raises BadInputError for a model or certificate that
    does not fit, MissingPartError when the device's extra is not installed.
    """
    opened = open_device(device, model=model, task=task_name)
    try:
        certificate = model / CERTIFICATE
        known = certificate if certificate.exists() else None
        guard = open_guard(model, task, opened, certificate=known, signer=signer, audit_share=0.0)
        return Shadow(champion_sha256, opened, guard, write)
    except BaseException:
        opened.close()
        raise
