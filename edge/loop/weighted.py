"""Certified thresholds from stored bakes, of which the sure ones are only a random share.

A certificate is about the traffic. Stored are all bakes that the edge was unsure of and, of the sure ones, those drawn
for the audit; calibrating on what is stored as if it were the traffic would be wrong. Of each bake of the traffic with
critical label c

    Z = (miss - alpha) / share if it is stored, 0 if not

has a mean over 0 when the promise is broken (Horvitz and Thompson 1952). A bettor against that multiplies 1 - lambda Z:
the product exceeds 1/delta with probability at most delta (Markov), so its inverse is a p-value, whatever the shares
are, as long as lambda does not depend on the label: lambda = boldness * sure_share / (1 - alpha), where `sure_share` is
the probability with which any sure bake of that moment was stored. Unsure bakes then count `sure_share` of an audited
one: what was never looked at cannot be proven by what was. Where everything was stored (sure_share 1) the exact
binomial test of `edge.certification` is used instead. Decision 0131.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edge.certification.procedure import Certified, LabelEvidence, certify, check_sample, passes
from edge.gate.integer import NEVER_ALONE, GateTable
from shared.errors import BadInputError

BOLDEST = 0.95  # 1 would be bankrupt at the first miss
BOUND_STEPS = 40
NOT_LOOKED_AT = "sure bakes were not looked at: without --audit nothing is known of what the edge passes"


def boldness(effective: float, alpha: float, delta: float) -> float:
    """The bet, as a share of the largest that is safe, under which `effective` items may have the most misses."""
    bets = np.arange(1, 20) / 20  # 0.05 to 0.95
    slope = alpha / (1 - alpha)
    return float(bets[np.argmax((effective * np.log1p(bets * slope) + math.log(delta)) / -np.log1p(-bets))])


def p_values(misses: NDArray[np.bool_], factors: NDArray[np.float64], alpha: float, bet: float) -> NDArray[np.float64]:
    """P-values float64 [K] of "the miss rate is over alpha" for misses bool [K, n] of one label's items.

    `factors` float64 [n]: sure_share / share of each item, at most 1.
    """
    unit = bet * factors / (1 - alpha)  # [n]
    held, missed = np.log1p(unit * alpha), np.log1p(-unit * (1 - alpha))  # [n]
    wealth = held.sum() + (misses * (missed - held)[None, :]).sum(axis=1)  # [K], logarithm
    values: NDArray[np.float64] = np.exp(-np.maximum(wealth, 0.0))
    return values


def bound(misses: NDArray[np.bool_], factors: NDArray[np.float64], delta: float, bet: float) -> float:
    """The least miss rate that is not exceeded with confidence 1 - delta: misses bool [n], factors float64 [n]."""
    low, high = 0.0, 1.0
    for _ in range(BOUND_STEPS):
        middle = (low + high) / 2
        proven = 0 < middle < 1 and p_values(misses[None, :], factors, middle, bet)[0] <= delta
        low, high = (low, middle) if proven else (middle, high)
    return high


def certify_weighted(
    table: GateTable,
    path: NDArray[np.int64],
    logits: NDArray[np.int8],
    truth: NDArray[np.int64],
    shares: NDArray[np.float64],
    sure_shares: NDArray[np.float64],
    alphas: Mapping[int, float],
    delta: float,
    names: tuple[str, ...],
    expected: Mapping[int, float],
) -> Certified:
    """As `edge.certification.procedure.certify`, for items stored with probabilities `shares` float64 [N].

    `sure_shares` float64 [N]: what it was for a sure bake at each item's time. `expected` says how many items of each
    label, an unsure one counted `sure_share`, the sample may hold by what other bakes show: it sets the bets, which
    must not depend on the sample. Raises BadInputError when no sample of
    this size could prove the promise, or when sure bakes were not looked at.
    """
    if not len(truth) or float(sure_shares.min()) <= 0:
        raise BadInputError(NOT_LOOKED_AT)
    factors = np.minimum(sure_shares / shares, 1.0)  # [N]
    if float(factors.min()) >= 1:  # each was as likely to be stored as any other: a fair sample
        check_sample(truth, alphas, delta, names)
        return certify(table, path, logits, truth, alphas, delta)
    predicted, sure = logits.argmax(axis=1), passes(table, path, logits)  # [N], [K, N]
    worst, bets = np.zeros(len(path)), {}
    for label, alpha in alphas.items():
        here = truth == label
        effective = float(factors[here].sum())
        bets[label] = bet = boldness(expected[label], alpha, delta)
        need = math.log(1 / delta) / math.log1p(BOLDEST * alpha / (1 - alpha))
        if effective < need:
            raise BadInputError(
                f"{names[label]}: {int(here.sum())} stored items count as {effective:.0f} of the traffic's and cannot"
                f" prove a miss rate of at most {alpha:g} with confidence {1 - delta:g}: at least {math.ceil(need)} are"
                " needed; audit a larger share, or wait"
            )
        missed = sure[:, here] & (predicted[here] != label)[None, :]  # [K, n]
        worst = np.maximum(worst, p_values(missed, factors[here], alpha, bet))
    failed = np.flatnonzero(worst > delta)
    last = int(failed[0]) - 1 if len(failed) else len(path) - 1
    if last < 0:
        raise BadInputError("the sample cannot prove the promise even if everything is escalated")
    evidence = {}
    for label, alpha in alphas.items():
        here = truth == label
        missed = sure[last, here] & (predicted[here] != label)  # [n]
        limit = bound(missed, factors[here], delta, bets[label])
        evidence[label] = LabelEvidence(alpha, int(here.sum()), int(missed.sum()), min(limit, alpha))
    tau = tuple(min(int(value), NEVER_ALONE) for value in path[last])
    return Certified(tau, evidence, int((~sure[last]).sum()), len(truth), min(last + 2, len(path)))
