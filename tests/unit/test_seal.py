"""Seals: what a broker may not change, whose word counts for which topic, and how keys are renewed."""

from __future__ import annotations

import base64
import dataclasses
import logging
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seal_scene import ONE, START, TWO, Clock, authority, digest, request, seal

from shared.errors import BadInputError
from shared.mqtt import Properties, parse_address
from shared.pki import files
from shared.pki.authority import Authority
from shared.pki.credentials import Credentials
from shared.pki.identity import Identity
from shared.pki.trust import Trust
from shared.seal import Checker, ReplayGuard, Seal, SealError, Signer
from shared.seal.checker import is_stale
from shared.seal.choose import choose
from shared.seal.envelope import read_envelope, signed_bytes
from shared.seal.local import local_seal

GATEWAY, OTHER, WORKER = seal("gateway", "plant/oven-1"), seal("gateway", "plant/oven-2"), seal("worker", "w-1")
REQUEST = request()
SEALED = REQUEST.sealed(GATEWAY)


def check(topic: str = REQUEST.topic, payload: bytes = b"clip", properties: Properties = SEALED, by: str = "") -> str:
    return WORKER.check(topic, digest(payload), properties, by or "gateway/plant/oven-1").signer


def test_an_untouched_message_is_its_signers() -> None:
    assert check() == "gateway/plant/oven-1"
    assert check(properties=dataclasses.replace(SEALED, expiry_s=3)) == "gateway/plant/oven-1", "brokers count it down"


def with_user(**changes: str) -> Properties:
    return dataclasses.replace(SEALED, user={**SEALED.user, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"topic": TWO.request("pizza", "high")},
        {"topic": ONE.request("pizza", "normal")},
        {"topic": ONE.request("elpv", "high")},
        {"payload": b"another clip"},
        {"properties": dataclasses.replace(SEALED, correlation=bytes(16))},
        {"properties": dataclasses.replace(SEALED, correlation=None)},
        {"properties": dataclasses.replace(SEALED, response_topic="cw/1/rsp/plant/oven-2")},
        {"properties": dataclasses.replace(SEALED, content_type="text/plain")},
        {"properties": with_user(attempt="2")},
        {"properties": with_user(schema="1.9")},
        {"properties": with_user(sha256="0" * 64)},
        {"properties": with_user(model="another")},
        {"properties": with_user(more="anything")},
    ],
)
def test_whatever_is_changed_on_the_way_is_noticed(changes: dict[str, object]) -> None:
    with pytest.raises(SealError, match="changed after gateway/plant/oven-1 sealed it"):
        check(**changes)  # type: ignore[arg-type]


def test_the_times_of_a_seal_are_sealed_too() -> None:
    envelope = read_envelope(SEALED.user["seal"])
    for changed in (
        dataclasses.replace(envelope, until_us=envelope.until_us + 1),
        dataclasses.replace(envelope, sent_us=envelope.sent_us + 1),
        dataclasses.replace(envelope, signature=bytes(64)),
    ):
        with pytest.raises(SealError, match="changed after"):
            check(properties=with_user(seal=changed.text()))


def test_a_seal_of_another_message_does_not_fit() -> None:
    other = request(id=bytes(16)).sealed(GATEWAY)
    with pytest.raises(SealError, match="changed after"):
        check(properties=with_user(seal=other.user["seal"]))


@pytest.mark.parametrize(
    ("signer", "words"),
    [
        (OTHER, "sealed by gateway/plant/oven-2, which does not speak for gateway/plant/oven-1"),
        (WORKER, "sealed by worker/w-1"),
        (seal("observer", "grafana"), "sealed by observer/grafana"),
        (seal("operator", "lead"), "sealed by operator/lead"),
        (seal("gateway", "plant/oven-1", of="elsewhere"), "of another authority"),
        (seal("gateway", "plant/oven-1", issued=START - timedelta(days=60)), "not valid now; it ends on"),
        (seal("gateway", "plant/oven-1", issued=START + timedelta(days=60)), "not valid now"),
    ],
)
def test_only_the_gateway_itself_speaks_for_its_line(signer: Seal, words: str) -> None:
    with pytest.raises(SealError, match=words):
        check(properties=REQUEST.sealed(signer))


def test_the_broker_cannot_seal_anything() -> None:
    key, certificate = authority("plant").certify(Identity.of("broker", "mqtt"), START, 30, ["localhost"])
    forger = Seal(Signer(key, certificate), Checker(Trust(authority("plant").certificate)), Clock())
    with pytest.raises(SealError, match="another purpose"):
        check(properties=REQUEST.sealed(forger), by="broker/mqtt")


def test_an_answer_must_be_a_workers() -> None:
    properties = WORKER.sign(ONE.response, digest(b"{}"), Properties(correlation=bytes(16)))
    assert GATEWAY.check(ONE.response, digest(b"{}"), properties, "worker").signer == "worker/w-1"
    forged = OTHER.sign(ONE.response, digest(b"{}"), Properties(correlation=bytes(16)))
    with pytest.raises(SealError, match="does not speak for worker"):
        GATEWAY.check(ONE.response, digest(b"{}"), forged, "worker")


def test_an_unsealed_message_is_refused() -> None:
    with pytest.raises(SealError, match="not sealed"):
        check(properties=REQUEST.properties())


@given(st.text(max_size=300) | st.binary(min_size=80, max_size=700).map(lambda data: base64.b64encode(data).decode()))
def test_rubbish_is_no_seal(text: str) -> None:
    with pytest.raises(SealError):
        check(properties=with_user(seal=text))


def test_a_huge_seal_is_not_even_decoded() -> None:
    with pytest.raises(SealError, match="at most"):
        check(properties=with_user(seal="A" * 1_000_000))


MESSAGES = st.tuples(
    st.text("ab/", max_size=4),
    st.binary(min_size=32, max_size=32),
    st.builds(
        Properties,
        response_topic=st.text("ab", max_size=2),
        correlation=st.binary(max_size=2),
        content_type=st.text("ab", max_size=2),
        user=st.dictionaries(st.text("ab", max_size=2), st.text("ab", max_size=2), max_size=3),
    ),
    st.integers(0, 3),
    st.integers(0, 3),
)


@given(MESSAGES, MESSAGES)
def test_no_two_messages_have_the_same_signed_bytes(one: tuple[object, ...], two: tuple[object, ...]) -> None:
    assert (signed_bytes(*one) == signed_bytes(*two)) == (one == two)  # type: ignore[arg-type]


def test_expiry_counts_with_a_day_for_wrong_clocks() -> None:
    clock = Clock()
    sealed = seal("worker", "w-1", clock).check(REQUEST.topic, digest(b"clip"), SEALED, "gateway")
    assert sealed.until_us - sealed.sent_us == 30_000_000
    clock.forward(timedelta(hours=20))
    assert not is_stale(sealed, clock())
    clock.forward(timedelta(hours=5))
    assert is_stale(sealed, clock())


def test_a_repeated_attempt_is_a_replay_and_memory_is_bounded() -> None:
    guard = ReplayGuard(size=100)
    assert guard.admit(ONE, b"id", 1, 7)
    assert not guard.admit(ONE, b"id", 1, 7)
    assert guard.admit(ONE, b"id", 2, 7)
    assert guard.admit(ONE, b"id", 1, 8), "a gateway after a power cut counts its attempts from an earlier one"
    assert guard.admit(TWO, b"id", 1, 7), "another sender's id is another one"
    for number in range(10_000):
        assert guard.admit(TWO, number.to_bytes(16, "big"), 1, 7)
    assert len(guard._seen) == 100


def test_keys_are_renewed_while_both_are_valid(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site, me = Authority.create(tmp_path / "pki", "plant", START), Identity.of("gateway", "plant/oven-1")
    folder = site.issue(me, START)
    credentials = Credentials.of(folder, None, None, None)
    assert credentials is not None
    moment = [0.0]
    trust = Trust.load(site.folder / files.CA_CERTIFICATE)
    signing = Seal(Signer.load(credentials), Checker(trust), Clock(), lambda: moment[0])

    def sent() -> Properties:
        return REQUEST.sealed(signing)

    def accepted(properties: Properties) -> bool:
        try:
            signing.check(REQUEST.topic, digest(b"clip"), properties, str(me))
        except SealError:
            return False
        return True

    first = sent()
    old = files.read_certificate(folder / files.CERTIFICATE).serial_number
    site.issue(me, START)
    moment[0] += 10
    second = sent()
    certificates = {read_envelope(properties.user["seal"]).certificate for properties in (first, second)}
    assert len(certificates) == 2, "the renewed key must be taken up without a restart"
    assert accepted(first)
    assert accepted(second)
    site.revoke(START, serial=old)
    moment[0] += 10
    assert not accepted(first)
    assert accepted(second)
    with caplog.at_level(logging.WARNING):
        (folder / files.CERTIFICATE).write_bytes(b"half a file")
        moment[0] += 10
        assert accepted(sent()), "a broken file must not stop the line"
    assert "stays in use" in caplog.text


def test_programs_go_unsigned_only_when_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    me = Identity.of("worker", "w-1")
    with pytest.raises(BadInputError, match="is not this machine: --identity FOLDER"):
        choose(parse_address("mqtts://broker.example"), None, False, me)
    assert choose(parse_address("mqtt://broker.example"), None, True, me).seal is None
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert choose(parse_address(f"mqtt://{host}"), None, False, me).seal is not None
    folder = authority("plant").issue(Identity.of("worker", "w-2"), START)
    credentials = Credentials.of(folder, None, None, None)
    with pytest.raises(BadInputError, match="is for worker/w-2, not for worker/w-1"):
        choose(parse_address("mqtts://broker.example"), credentials, False, me)


def test_programs_of_one_user_on_one_machine_trust_each_other(tmp_path: Path) -> None:
    gateway = local_seal(Identity.of("gateway", "plant/oven-1"), tmp_path / "keys")
    worker = local_seal(Identity.of("worker", "w-1"), tmp_path / "keys")
    properties = REQUEST.sealed(gateway)
    assert worker.check(REQUEST.topic, digest(b"clip"), properties, "gateway").signer == "gateway/plant/oven-1"
    with pytest.raises(SealError):
        WORKER.check(REQUEST.topic, digest(b"clip"), properties, "gateway")
