"""ScanQA (arXiv 2112.10482): BLEU, CIDEr, ROUGE-L and exact match of free answers.

The captioning metrics are those of the COCO caption evaluation, without its tokeniser: words are what blanks separate
and case matters, as in the Spatial-MLLM reference. A final full stop is stripped from a prediction before these
three, but not before exact match. METEOR needs a Java program and is not offered.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shared.errors import BadInputError

ORDERS = 4  # n-grams of 1 to 4 words
_ROUGE_BETA = 1.2  # weight of recall
_CIDER_SIGMA = 6.0  # words of length difference
_SMALL, _TINY = 1e-9, 1e-15  # the COCO code's guards against division by zero; they show in the 10th digit

Ngram = tuple[str, ...]


@dataclass(frozen=True)
class ScanQaScores:
    """Scores of a set of answers. Per-question lists are in the order of the questions.

    Attributes:
        bleu: corpus BLEU-1 to BLEU-4, within 0..1.
        cider: CIDEr-D, within 0..10.
        rouge_l: mean ROUGE-L F-score.
        exact_match: share of predictions equal to one of the references.
    """

    bleu: tuple[float, ...]
    cider: float
    cider_each: tuple[float, ...]
    rouge_l: float
    rouge_each: tuple[float, ...]
    exact_match: float


def score_scanqa(references: Mapping[str, Sequence[str]], predictions: Mapping[str, str]) -> ScanQaScores:
    """Score predictions against the references of the same questions.

    Raises:
        BadInputError: no question, or the two hold different questions.
    """
    if not references or set(references) != set(predictions):
        raise BadInputError("ScanQA: predictions and references must hold the same questions, at least one")
    questions = list(references)
    golds = [list(references[question]) for question in questions]
    raw = [predictions[question] for question in questions]
    answers = [answer.rstrip(".") for answer in raw]
    ciders = cider_d(golds, answers)
    rouges = tuple(rouge_l(gold, answer) for gold, answer in zip(golds, answers, strict=True))
    exact = [answer in gold for gold, answer in zip(golds, raw, strict=True)]
    return ScanQaScores(
        bleu=corpus_bleu(golds, answers),
        cider=float(np.mean(ciders)),
        cider_each=ciders,
        rouge_l=float(np.mean(rouges)),
        rouge_each=rouges,
        exact_match=float(np.mean(exact)),
    )


def ngrams(text: str) -> Counter[Ngram]:
    """Counts of all n-grams of 1 to 4 words."""
    words = text.split()
    return Counter(tuple(words[start : start + n]) for n in range(1, ORDERS + 1) for start in range(len(words) - n + 1))


def corpus_bleu(references: Sequence[Sequence[str]], predictions: Sequence[str]) -> tuple[float, ...]:
    """BLEU-1 to BLEU-4 over all answers; the closest reference length counts for brevity."""
    correct, guesses = [0] * ORDERS, [0] * ORDERS
    length = reference_length = 0
    for golds, prediction in zip(references, predictions, strict=True):
        words = len(prediction.split())
        length += words
        reference_length += min((abs(size - words), size) for size in (len(gold.split()) for gold in golds))[1]
        best: Counter[Ngram] = Counter()
        for gold in golds:
            best |= ngrams(gold)  # the highest count over the references
        for ngram, count in ngrams(prediction).items():
            correct[len(ngram) - 1] += min(count, best[ngram])
        for n in range(ORDERS):
            guesses[n] += max(0, words - n)
    ratio = (length + _TINY) / (reference_length + _SMALL)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    scores: list[float] = []
    product = 1.0
    for n in range(ORDERS):
        product *= (correct[n] + _TINY) / (guesses[n] + _SMALL)
        scores.append(product ** (1 / (n + 1)) * brevity)
    return tuple(scores)


def cider_d(references: Sequence[Sequence[str]], predictions: Sequence[str]) -> tuple[float, ...]:
    """CIDEr-D of every answer (arXiv 1411.5726), document frequencies taken from these references."""
    gold_counts = [[ngrams(gold) for gold in golds] for golds in references]
    frequency = Counter(ngram for golds in gold_counts for ngram in set().union(*golds))
    log_documents = math.log(len(references))

    def vector(counts: Counter[Ngram]) -> list[dict[Ngram, float]]:
        """TF-IDF weights by order."""
        orders: list[dict[Ngram, float]] = [{} for _ in range(ORDERS)]
        for ngram, count in counts.items():
            orders[len(ngram) - 1][ngram] = count * (log_documents - math.log(max(1.0, frequency[ngram])))
        return orders

    def bigrams(counts: Counter[Ngram]) -> int:
        """Length as the COCO code takes it: the number of bigrams."""
        return sum(count for ngram, count in counts.items() if len(ngram) == 2)

    scores: list[float] = []
    for golds, prediction in zip(gold_counts, predictions, strict=True):
        counts = ngrams(prediction)
        hypothesis = vector(counts)
        total = 0.0
        for gold in golds:
            penalty = math.exp(-((bigrams(counts) - bigrams(gold)) ** 2) / (2 * _CIDER_SIGMA**2))
            for ours, theirs in zip(hypothesis, vector(gold), strict=True):
                norms = _norm(ours) * _norm(theirs)
                dot = sum(
                    min(weight, theirs.get(ngram, 0.0)) * theirs.get(ngram, 0.0) for ngram, weight in ours.items()
                )
                total += penalty * (dot / norms if norms else dot) / ORDERS
        scores.append(10 * total / len(golds))
    return tuple(scores)


def _norm(weights: Mapping[Ngram, float]) -> float:
    return math.sqrt(sum(weight * weight for weight in weights.values()))


def rouge_l(references: Sequence[str], prediction: str) -> float:
    """ROUGE-L F-score: best precision and best recall over the references, recall weighted by 1.2."""
    words = prediction.split(" ")  # not split(): an empty word counts, as in the COCO code
    golds = [gold.split(" ") for gold in references]
    common = [_common_subsequence(words, gold) for gold in golds]
    precision = max(length / len(words) for length in common)
    recall = max(length / len(gold) for length, gold in zip(common, golds, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + _ROUGE_BETA**2) * precision * recall / (recall + _ROUGE_BETA**2 * precision)


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for index, other in enumerate(second, start=1):
            above = row[index]
            row[index] = diagonal + 1 if word == other else max(above, row[index - 1])
            diagonal = above
    return row[-1]
