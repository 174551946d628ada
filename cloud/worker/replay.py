"""`crustwatch cloud replay`: prove a decision by its seals, and compute it again from its clip."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import typer

from cloud.worker.answers import Engine, compute
from cloud.worker.archive import CLIP, Decision, read_decisions
from shared.answer import read_answer
from shared.errors import BadInputError, CrustwatchError
from shared.escalation import read_request, sender_of
from shared.messages import BakeVerdict, Response, decode
from shared.mqtt import Incoming
from shared.pki.trust import Trust
from shared.seal import Checker, SealError
from shared.task import Task

CONFIDENCE = 1e-3
"""Sums of floats come out otherwise with other numbers of threads or on other processors: 1e-6 was seen."""
Same = Literal["same", "different", "not computed again"]


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of one attempt."""

    response: Response
    sealed: bool | None  # both seals hold; None: nobody's certificate was named
    outcome: Same
    again: BakeVerdict | None
    reason: str = ""

    def as_json(self) -> dict[str, Any]:
        """The object of `--json`."""
        return {
            "id": self.response.id,
            "attempt": self.response.attempt,
            "worker": self.response.worker,
            "sealed": self.sealed,
            "outcome": self.outcome,
            "reason": self.reason,
            "verdict": msgspec.to_builtins(self.response.verdict),
            "again": None if self.again is None else msgspec.to_builtins(self.again),
        }


def replay(folder: Path, decision: Decision, engine: Engine, task: Task, trust: Trust | None) -> Replay:
    """Prove and compute one decision again. Raises BadInputError when its record contradicts itself."""
    request, answer = decision.request, decision.answer
    payload = answer.payload.encode()
    response = decode(payload, Response, answer.topic)
    if hashlib.sha256(payload).hexdigest() != answer.sha256:
        raise BadInputError(f"bake {response.id}: the answer was changed in the archive")
    sealed = None if trust is None else _sealed(decision, trust)
    path = folder / "clips" / f"{request.sha256}{CLIP}"
    if not path.exists():
        return Replay(response, sealed, "not computed again", None, "the clip has expired")
    clip = path.read_bytes()
    if hashlib.sha256(clip).hexdigest() != request.sha256:
        raise BadInputError(f"{path}: the clip was changed in the archive")
    if response.verdict.provenance is None:
        return Replay(response, sealed, "not computed again", None, response.verdict.rationale)
    asked = read_request(Incoming(request.topic, clip, False, request.properties), request.sha256)
    again = compute(engine, task, asked)
    return Replay(response, sealed, _compare(response.verdict, again), again)


def _sealed(decision: Decision, trust: Trust) -> bool:
    checker, request, answer = Checker(trust), decision.request, decision.answer
    try:
        sender = sender_of(Incoming(request.topic, b"", False, request.properties))
        digest = bytes.fromhex(request.sha256)
        checker.check(request.topic, digest, request.properties, decision.decided_us, sender.gateway)
        digest = bytes.fromhex(answer.sha256)
        sealed = checker.check(answer.topic, digest, answer.properties, decision.decided_us, "worker")
    except SealError:
        return False
    judged = read_answer(Incoming(answer.topic, answer.payload.encode(), False, answer.properties), None)
    return judged.clip_sha256 == request.sha256 and sealed.signer == f"worker/{judged.response.worker}"


def _verdict(decision: Decision) -> BakeVerdict:
    return decode(decision.answer.payload.encode(), Response, decision.answer.topic).verdict


def _compare(then: BakeVerdict, now: BakeVerdict) -> Same:
    """All findings must be equal, confidence within CONFIDENCE; how long it took, where and who asked may differ."""
    findings = [msgspec.structs.replace(verdict, provenance=None, confidence=0.0) for verdict in (then, now)]
    if abs(then.confidence - now.confidence) > CONFIDENCE:
        return "different"
    made = [verdict.provenance for verdict in (then, now)]
    by = [(p.weights_sha256, p.prompt_sha256, p.frames_used, p.geometry, p.engine) for p in made if p is not None]
    return "same" if findings[0] == findings[1] and len(by) == 2 and by[0] == by[1] else "different"


def run(folder: Path, bake_id: str, checkpoint: str, task: Task, ca: Path | None, as_json: bool) -> None:
    """Print every attempt of a bake. Raises CrustwatchError when a seal is broken or a verdict differs."""
    from cloud.engine import load_engine

    decisions = read_decisions(folder, bake_id)
    trust = None if ca is None else Trust.load(ca, in_hindsight=True)
    provenance = next((d.provenance for d in map(_verdict, decisions) if d.provenance is not None), None)
    engine = load_engine(checkpoint, engine="full" if provenance is None else provenance.engine)
    replays = [replay(folder, decision, engine, task, trust) for decision in decisions]
    if as_json:
        typer.echo(json.dumps([each.as_json() for each in replays]))
    for each in replays if not as_json else ():
        seals = {True: "seals hold", False: "SEALS BROKEN", None: "seals not checked (--ca)"}[each.sealed]
        verdict = each.response.verdict
        said = "cannot tell" if verdict.cannot_tell else f"{verdict.doneness} {verdict.confidence:.4f}"
        reason = f": {each.reason}" if each.reason else ""
        typer.echo(
            f"attempt {each.response.attempt} by {each.response.worker}: {said}; {seals}; {each.outcome}{reason}"
        )
    if any(each.sealed is False or each.outcome == "different" for each in replays):
        raise CrustwatchError(f"bake {bake_id}: the archive does not prove what was decided")
