"""The guard of a gateway, from the files beside its model and the certificate it was given."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge.certification.certificate import load_certificate, table_digest
from edge.devices.device import Device
from edge.gate.gate_file import load_gate
from edge.watch.guard import Guard, Promised, WhenWithdrawn
from edge.watch.reference import REFERENCE, load_reference
from shared.errors import BadInputError
from shared.task import Task

AUDIT_SHARE = 0.02  # of the sure bakes, while there is a certificate


def open_guard(
    model: Path,
    task: Task,
    device: Device,
    *,
    certificate: Path | None = None,
    signer: str | None = None,
    audit_share: float | None = None,
    state: Path | None = None,
    when_withdrawn: WhenWithdrawn = "mark",
) -> Guard:
    """A guard for `device`, which runs the model in folder `model`.

    With a certificate its thresholds are set on the device. `signer` is the base64 public key that must have signed it.
    Raises BadInputError when the certificate is for another model or gate, forged or damaged.
    """
    gate = load_gate(model / "gate.json", len(task.labels))
    reference = load_reference(model / REFERENCE) if (model / REFERENCE).exists() else None
    if certificate is None:
        return Guard(reference=reference, logit_scale=gate.logit_scale, audit_share=audit_share or 0.0, state=state)
    promised = load_certificate(certificate, signer).certificate
    actual = (hashlib.sha256((model / "model.tflite").read_bytes()).hexdigest(), table_digest(gate), task.labels)
    if (promised.model_sha256, promised.gate_table_sha256, promised.labels) != actual:
        raise BadInputError(f"{certificate}: for another model, gate or set of labels than {model}")
    if device.hello().model_sha256 != promised.model_sha256:
        raise BadInputError(f"{certificate}: the device {device.name} runs another model")
    device.set_thresholds(promised.tau_q15)
    return Guard(
        reference=reference,
        logit_scale=gate.logit_scale,
        promised=Promised({p.label: p.alpha for p in promised.promises}, promised.delta, promised.expires),
        audit_share=AUDIT_SHARE if audit_share is None else audit_share,
        state=state,
        when_withdrawn=when_withdrawn,
    )
