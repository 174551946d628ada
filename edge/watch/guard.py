"""The last word on a device's decision: unfamiliar frames and a random audit are escalated though the device is sure.

It also watches for drift and for a broken promise. Either ends the certificate: from then on verdicts that the edge
decides alone are marked uncertified, and the alarm says why.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from edge.watch.audit import LabelState, RiskAudit
from edge.watch.drift import DriftWatch, watched_figures
from edge.watch.features import frame_features
from edge.watch.reference import Reference
from shared.errors import BadInputError
from shared.json_text import NOT_JSON
from shared.kept_state import KeptState
from shared.messages import Classification, Decision

log = logging.getLogger(__name__)

CertificateState = Literal["none", "valid", "expired", "withdrawn"]
WhenWithdrawn = Literal["mark", "escalate"]


def when_withdrawn_of(name: str) -> WhenWithdrawn:
    """What is to happen once the certificate has ended. Raises BadInputError for another name than these two."""
    for known in get_args(WhenWithdrawn):
        if known == name:
            return cast(WhenWithdrawn, known)
    raise BadInputError(f"--when-withdrawn is mark or escalate, not {name!r}")


class Promised(NamedTuple):
    """The part of a certificate that the guard watches."""

    alphas: dict[str, float]
    delta: float
    expires: date


class Ruling(NamedTuple):
    """Whether the bake is escalated, why, and for people."""

    decision: Decision  # "sure" stays at the edge, everything else is escalated
    reason: str


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """What survives a restart."""

    audit: dict[str, LabelState]
    ended: str = ""  # why the certificate was withdrawn


class Guard:
    """One camera's guard. Not thread-safe.

    Attributes: `kept`, its state, to be written by whoever runs the guard.
    """

    def __init__(
        self,
        *,
        reference: Reference | None = None,
        logit_scale: float = 1.0,
        promised: Promised | None = None,
        audit_share: float = 0.0,
        state: Path | None = None,
        when_withdrawn: WhenWithdrawn = "mark",
        today: Callable[[], date] = date.today,
        rng: random.Random | None = None,
    ) -> None:
        """`audit_share` of the sure bakes is escalated; `state` is the file that keeps the audit over restarts.

        `when_withdrawn`: once the certificate has ended, `mark` marks what the edge decides alone as uncertified;
        `escalate` lets it decide nothing alone, which also gives every bake a verdict to prove the next model on.

        Raises BadInputError when the state file cannot be read.
        """
        self._reference, self._logit_scale, self._promised = reference, logit_scale, promised
        self._when_withdrawn = when_withdrawn
        self._share, self._today, self._rng = audit_share, today, rng or random.Random()
        self._drift = None if reference is None else DriftWatch(reference.figures)
        kept = _read(state) if state is not None and state.exists() else _Kept({})
        self._ended = kept.ended
        self._audit = (
            RiskAudit(promised.alphas, promised.delta, audit_share, kept.audit) if promised and audit_share else None
        )
        self.kept = KeptState(state, self._encoded)
        self.alarms: list[str] = [self._ended] if self._ended else []

    @property
    def certificate(self) -> CertificateState:
        """Whether the promise stands."""
        if self._promised is None:
            return "none"
        if self._ended:
            return "withdrawn"
        return "expired" if self._today() > self._promised.expires else "valid"

    @property
    def sure_share(self) -> float:
        """The probability with which a bake that the gate is sure of is escalated all the same, now."""
        return 1.0 if self._escalates_all else self._share

    @property
    def _escalates_all(self) -> bool:
        return self._when_withdrawn == "escalate" and self.certificate in ("withdrawn", "expired")

    def rule(self, edge: Classification, frame: NDArray[np.uint8]) -> Ruling:
        """Decide on one classified frame, uint8 [S, S, 3] as the classifier saw it."""
        if self._reference is not None:
            features = frame_features(frame[None])  # [1, features]
            self._look_for_drift(edge, features)
            if self._reference.familiarity.distances(features)[0] > self._reference.familiarity.limit:
                return Ruling("policy", "the frame is unlike those that the classifier was calibrated on")
        if not edge.sure:
            return Ruling("unsure", edge.reason)
        if self._escalates_all:
            return Ruling("withdrawn", "sure, but no certificate stands")
        if self._share and self._rng.random() < self._share:
            return Ruling("audit", "sure, and drawn for the audit")
        return Ruling("sure", edge.reason)

    def learned(self, edge: Classification, decision: str, truth: str) -> None:
        """The cloud said `truth` of a bake that `decision` had escalated."""
        if self._audit is None or decision not in ("unsure", "audit", "policy"):
            return
        finding = self._audit.observe(truth, edge.label if decision == "audit" else None)
        if finding is not None:
            self._end(f"the audit found the promise broken: {finding}")
        self.kept.changed()

    def _look_for_drift(self, edge: Classification, features: NDArray[np.float64]) -> None:
        if self._drift is None:
            return
        logits = np.array([edge.logits], np.int8)  # [1, labels]
        figures = watched_figures(features, logits, self._logit_scale, np.array([edge.probability]))  # [1, figures]
        for drift in self._drift.observe(figures[0]):
            self._end(f"drift: {drift}")

    def _end(self, reason: str) -> None:
        log.warning("%s", reason)
        self.alarms.append(reason)
        if self.certificate == "valid":
            self._ended = reason
            self.kept.changed()

    def _encoded(self) -> bytes:
        return msgspec.json.encode(_Kept(self._audit.state if self._audit else {}, self._ended))


def _read(path: Path) -> _Kept:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Kept)
    except (OSError, *NOT_JSON) as error:
        raise BadInputError(f"{path}: not a guard's state: {error}") from None
