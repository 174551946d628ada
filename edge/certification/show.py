"""`crustwatch edge certificate`: checks a certificate and prints it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from edge.certification.certificate import SignedCertificate, load_certificate
from shared.errors import BadInputError


def run_check(path: Path, public_key: str | None, as_json: bool) -> None:
    """Verify a certificate's signature and print it; one line when it has expired."""
    signed = load_certificate(path, public_key)
    today = datetime.now(UTC).date()
    if today > signed.certificate.expires:
        raise BadInputError(f"{path}: expired on {signed.certificate.expires}: certify again")
    print_certificate(signed, path, as_json)


def print_certificate(signed: SignedCertificate, path: Path, as_json: bool) -> None:
    """As one JSON object or in words."""
    if as_json:
        fields: dict[str, Any] = msgspec.to_builtins(signed.certificate)
        print(json.dumps({**fields, "file": str(path), "public_key": signed.public_key}))  # noqa: T201
        return
    c = signed.certificate
    lines = [
        f"task {c.task}, model {c.model_sha256[:12]}, {c.sample.data}: {c.sample.tuning_items} items chose the path, "
        f"{c.sample.certification_items} certify",
        f"with confidence {1 - c.delta:g}, of the items of each label the edge passes as something else at most:",
        *(f"  {p.label:12} {p.alpha:g}   (seen {p.misses} of {p.items}, bound {p.bound:.4f})" for p in c.promises),
        f"escalated {c.escalation.share:.3f} [{c.escalation.low:.3f}, {c.escalation.high:.3f}] n={c.escalation.n}",
        "thresholds " + ", ".join(f"{name} {tau}" for name, tau in zip(c.labels, c.tau_q15, strict=True)),
        f"issued {c.issued}, expires {c.expires}; ends earlier when",
        *(f"  {condition}" for condition in c.ends_when),
        *(["taken for granted:"] if c.assumes else []),
        *(f"  {assumption}" for assumption in c.assumes),
        f"signed by {signed.public_key}: {path}",
    ]
    print("\n".join(lines))  # noqa: T201
