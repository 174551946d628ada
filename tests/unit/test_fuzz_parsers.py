"""Bytes from outside are read or refused with BadInputError. `make fuzz` asks the same 10 million times."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from fuzz_targets import BY_NAME, TARGETS, Target, try_one
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FUZZ = Path(__file__).parents[1] / "fuzz"
NAMES = [target.name for target in TARGETS]
SEEDS = {target.name: target.seeds() for target in TARGETS}
REGRESSIONS = sorted((FUZZ / "regressions").glob("*/*"))
SLOW = {"tflite": 20, "image": 60}  # examples; a parse takes milliseconds
CLAIMS = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"\xff\x7f", b"[" * 64, b"9" * 64, b"\xc3\x28", b"\x00")


def mutated(target: Target, seed: bytes, rng: random.Random) -> bytes:
    """`seed` with a few of the changes that find bugs: bits, hostile lengths, cuts, repeats."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes((rng.randrange(256),))
            case 1:
                claim = rng.choice(CLAIMS)
                data[at : at + len(claim)] = claim
            case 2:
                del data[at:]
            case 3:
                del data[at : at + rng.randint(1, 16)]
            case _:
                data[at:at] = data[at : at + rng.randint(1, 64)] * rng.randint(1, 8)
    return bytes(data[: target.max_bytes])


@pytest.mark.parametrize("name", NAMES)
def test_some_seed_reaches_the_end_of_its_parser(name: str) -> None:
    good = 0
    for seed in SEEDS[name]:
        try:
            BY_NAME[name].parse(seed)
        except ValueError:
            continue
        good += 1
    assert good, "fuzzing that starts from refused inputs stays at the front door"


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_fuzzing_found_stays_refused(path: Path) -> None:
    try_one(BY_NAME[path.parent.name], path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_any_bytes_are_read_or_refused(name: str) -> None:
    target = BY_NAME[name]

    @settings(max_examples=SLOW.get(name, 150), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=600) | st.builds(mutated, st.just(target), st.sampled_from(SEEDS[name]), st.randoms()))
    def property_holds(data: bytes) -> None:
        try_one(target, data)

    property_holds()


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SLOW])
def test_a_parser_keeps_nothing(name: str) -> None:
    target, rng = BY_NAME[name], random.Random(7)

    def many(count: int) -> None:
        for _ in range(count):
            try_one(target, mutated(target, rng.choice(SEEDS[name]), rng))

    many(200)  # caches of the interpreter and of the libraries
    tracemalloc.start()
    try:
        many(100)
        before, _ = tracemalloc.get_traced_memory()
        many(400)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 100_000, f"{after - before} bytes more after 400 inputs"
