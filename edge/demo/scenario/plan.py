"""How long each phase of a scenario is, and what it promises."""

from __future__ import annotations

from dataclasses import dataclass

from edge.certification.bounds import smallest_sample
from edge.loop.trial import SMALLEST_TRIAL
from shared.bakery.truth import Shift
from shared.errors import BadInputError
from shared.task import load_task

DEFAULT_BAKES = 1800
SMALLEST = 40
SMALLEST_CALIBRATION = 60  # of its rendered bakes just enough prove the loosest promise
DELTA = 0.05
ALPHAS = (0.05, 0.1, 0.2, 0.3)
HELD_OUT = 0.4  # of the lessons, which prove the promise
LABEL_SHARE = 0.2  # of the bakes, of each label
REPLAY = 600  # fewer of the usual look, and a challenger forgets it
TRUSTED = 400  # fewer cannot tell a loss of a few points from none
ROOM = 1.5  # times the smallest sample: one or two misses do not end the proof
PHASES = ("before", "shift", "escalated", "shadow", "after")
"""Before the shift; from the shift until the certificate ends; all escalated, and learnt from; trial; promoted."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts are bakes."""

    shift: Shift
    seed: int
    before: int
    lessons: int  # verdicts after the certificate's end, before the challenger is trained
    shadow: int
    after: int
    unnoticed: int  # bakes after the shift without an alarm: the scenario ends
    calibration: int  # rendered bakes that certify the first model
    replay: int  # rendered bakes of the old look, so that it is not forgotten
    trusted: int  # rendered bakes of the old look, to see what is forgotten; 0: a short run does not look
    alpha: str  # what both models promise, as `edge certify --alpha` takes it

    @classmethod
    def of(cls, shift: Shift, seed: int, bakes: int | None) -> Plan:
        """About `bakes` in all, those not counted that pass while the challenger is trained.

        Raises BadInputError for too few.
        """
        total = DEFAULT_BAKES if bakes is None else bakes
        if total < SMALLEST:
            raise BadInputError(f"--scenario takes at least {SMALLEST} bakes, not {total}")
        lessons, is_long = total * 55 // 100, total >= REPLAY
        return cls(
            shift=shift,
            seed=seed,
            before=total * 12 // 100,
            lessons=lessons,
            shadow=max(SMALLEST_TRIAL, total * 10 // 100),
            after=total * 18 // 100,
            unnoticed=max(SMALLEST, total // 4),
            calibration=max(SMALLEST_CALIBRATION, total * 50 // 100),
            replay=REPLAY if is_long else total // 2,
            trusted=TRUSTED if is_long else 0,
            alpha=_promise(HELD_OUT * LABEL_SHARE * lessons),
        )

    @property
    def most(self) -> int:
        """Shifted bakes that a run can take at most."""
        return 4 * (self.unnoticed + self.lessons + self.shadow + self.after)


def _promise(items: float) -> str:
    """The tightest of ALPHAS that `items` of each critical label can prove with room for a miss, else the loosest."""
    fitting = [alpha for alpha in ALPHAS if ROOM * smallest_sample(alpha, DELTA) <= items]
    alpha = fitting[0] if fitting else ALPHAS[-1]
    return ",".join(f"{label}={alpha:g}" for label in load_task().critical)
