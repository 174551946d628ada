"""The site's authority: what it issues, revokes and lists, and whose certificates are trusted."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from shared.broker.site import SiteBroker
from shared.errors import BadInputError
from shared.pki import files
from shared.pki.authority import Authority
from shared.pki.cli import app
from shared.pki.credentials import Credentials
from shared.pki.identity import Identity
from shared.pki.request import read_request, write_request
from shared.pki.trust import DistrustError, Trust

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ONE = Identity.of("gateway", "plant/oven-1")


def us(when: datetime) -> int:
    return int(when.timestamp() * 1e6)


def der(folder: Path) -> bytes:
    return files.read_certificate(folder / files.CERTIFICATE).public_bytes(serialization.Encoding.DER)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "pki", "plant", NOW)


def test_keys_are_for_their_owner_alone(authority: Authority) -> None:
    holder = authority.issue(ONE, NOW)
    for path in (authority.folder / files.CA_KEY, holder / files.KEY):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(authority.folder.stat().st_mode) == 0o700


def test_an_authority_whose_making_was_cut_short_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(files, "replace_file", lambda *arguments: 1 / 0)  # killed after the key, before the certificate
        with pytest.raises(ZeroDivisionError):
            Authority.create(tmp_path / "pki", "plant", NOW)
    assert Authority.create(tmp_path / "pki", "plant", NOW).issued() == []


def test_a_second_authority_never_overwrites_the_first(authority: Authority) -> None:
    with pytest.raises(BadInputError, match="holds an authority already"):
        Authority.create(authority.folder, "plant", NOW)


def test_a_certificate_is_trusted_until_it_ends(authority: Authority) -> None:
    holder = authority.issue(ONE, NOW, days=30)
    trust = Trust.load(holder / files.CA_CERTIFICATE)
    assert trust.check(der(holder), us(NOW))[0] == ONE
    with pytest.raises(DistrustError, match="ends on 2026-05-31"):
        trust.check(der(holder), us(NOW + timedelta(days=31)))
    with pytest.raises(DistrustError, match="not valid now"):
        trust.check(der(holder), us(NOW - timedelta(days=2)))
    trust.check(der(holder), us(NOW - timedelta(hours=20)))  # chaos sets clocks back by hours


def test_a_revoked_certificate_is_distrusted_as_soon_as_the_list_arrives(authority: Authority) -> None:
    holder = authority.issue(ONE, NOW)
    trust = Trust.load(holder / files.CA_CERTIFICATE)
    trust.look_again(0.0)
    trust.check(der(holder), us(NOW))
    authority.revoke(NOW, ONE)
    trust.look_again(1.0)
    trust.check(der(holder), us(NOW))  # the file is not looked at more often than that
    trust.look_again(10.0)
    with pytest.raises(DistrustError, match="gateway/plant/oven-1 is revoked"):
        trust.check(der(holder), us(NOW))


def test_what_was_sealed_before_a_revocation_stays_proven(authority: Authority) -> None:
    holder = authority.issue(ONE, NOW)
    authority.revoke(NOW + timedelta(days=3), ONE)
    then, later = us(NOW + timedelta(days=2)), us(NOW + timedelta(days=4))
    ca = authority.folder / files.CA_CERTIFICATE
    assert Trust.load(ca, in_hindsight=True).check(der(holder), then)[0] == ONE
    for trust, when in ((Trust.load(ca, in_hindsight=True), later), (Trust.load(ca), then), (Trust.load(ca), later)):
        with pytest.raises(DistrustError, match="revoked"):
            trust.check(der(holder), when)


def test_a_broken_revocation_list_leaves_the_last_good_one_in_force(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder = authority.issue(ONE, NOW)
    authority.revoke(NOW, ONE)
    trust = Trust.load(holder / files.CA_CERTIFICATE)
    stranger = Authority.create(tmp_path / "stranger", "plant", NOW)
    for number, text in enumerate((b"rubbish", (stranger.folder / files.CRL).read_bytes())):
        (holder / files.CRL).write_bytes(text)
        trust.look_again(100.0 * number)
        with pytest.raises(DistrustError, match="revoked"):
            trust.check(der(holder), us(NOW))
    assert caplog.text.count("stays in force") == 2
    with pytest.raises(BadInputError, match="not signed by the authority"):
        Trust.load(holder / files.CA_CERTIFICATE)


def test_certificates_of_others_are_distrusted(authority: Authority, tmp_path: Path) -> None:
    trust = Trust.load(authority.folder / files.CA_CERTIFICATE)
    stranger = Authority.create(tmp_path / "stranger", "plant", NOW)  # the same name, another key
    with pytest.raises(DistrustError, match="not signed by this site's authority"):
        trust.check(der(stranger.issue(ONE, NOW)), us(NOW))
    other = Authority.create(tmp_path / "other", "elsewhere", NOW)
    with pytest.raises(DistrustError, match="of another authority"):
        trust.check(der(other.issue(ONE, NOW)), us(NOW))
    broker = authority.issue(Identity.of("broker", "mqtt"), NOW, hosts=["localhost"])
    with pytest.raises(DistrustError, match="another purpose"):
        trust.check(der(broker), us(NOW))
    ca = authority.certificate.public_bytes(serialization.Encoding.DER)
    with pytest.raises(DistrustError):
        trust.check(ca, us(NOW))


def test_any_changed_byte_makes_a_certificate_worthless(authority: Authority) -> None:
    good = der(authority.issue(ONE, NOW))
    trust = Trust.load(authority.folder / files.CA_CERTIFICATE)
    for at in range(0, len(good), 3):
        changed = bytearray(good)
        changed[at] ^= 1
        with pytest.raises(DistrustError):
            trust.check(bytes(changed), us(NOW))


@given(st.binary(max_size=300))
def test_rubbish_is_no_certificate(rubbish: bytes) -> None:
    trust = TRUST()
    with pytest.raises(DistrustError):
        trust.check(rubbish, us(NOW))


def test_a_certificate_with_a_negative_serial_is_refused_without_a_word(authority: Authority) -> None:
    good = der(authority.issue(ONE, NOW))
    at = good.index(b"\xa0\x03\x02\x01\x02\x02") + 7  # version 3, then the serial number: tag, length, bytes
    with pytest.raises(DistrustError):  # the library warns, and warnings are errors here
        Trust.load(authority.folder / files.CA_CERTIFICATE).check(good[:at] + b"\xff" + good[at + 1 :], us(NOW))


def test_a_huge_certificate_is_not_parsed(authority: Authority) -> None:
    with pytest.raises(DistrustError, match="at most 2048 bytes"):
        Trust.load(authority.folder / files.CA_CERTIFICATE).check(bytes(1_000_000), us(NOW))


def _trust_once() -> Callable[[], Trust]:
    import tempfile

    cache: list[Trust] = []

    def get() -> Trust:
        if not cache:
            folder = Path(tempfile.mkdtemp())
            cache.append(Trust(Authority.create(folder / "pki", "plant", NOW).certificate))
        return cache[0]

    return get


TRUST = _trust_once()


def test_a_key_that_does_not_fit_is_named(authority: Authority) -> None:
    one, two = authority.issue(ONE, NOW), authority.issue(Identity.of("worker", "w-1"), NOW)
    mixed = Credentials.of(one, None, None, two / files.KEY)
    assert mixed is not None
    with pytest.raises(BadInputError, match=r"key\.pem: not the key of .*cert\.pem"):
        mixed.client_context()
    with pytest.raises(BadInputError, match="--key is missing"):
        Credentials.of(None, one / "ca.pem", one / "cert.pem", None)
    with pytest.raises(BadInputError, match="no such file"):
        Credentials.of(authority.folder, None, None, None)


def test_keys_that_others_can_read_and_missing_lists_are_named(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    holder = authority.issue(ONE, NOW)
    credentials = Credentials.of(holder, None, None, None)
    assert credentials is not None
    credentials.check()
    assert caplog.text == ""
    credentials.key.chmod(0o644)
    credentials.check()
    assert "can be read by others: chmod 600" in caplog.text
    (holder / files.CRL).unlink()
    Trust.load(credentials.ca)
    assert "revoked certificates are not noticed" in caplog.text


def test_a_key_can_stay_on_its_machine(authority: Authority, tmp_path: Path) -> None:
    mine = tmp_path / "identity"
    path = write_request(mine, ONE)
    assert path.read_bytes().count(b"PRIVATE") == 0
    holder = authority.issue(ONE, NOW, public_key=read_request(path, ONE))
    assert not (holder / files.KEY).exists()
    for name in (files.CERTIFICATE, files.CA_CERTIFICATE, files.CRL):
        (mine / name).write_bytes((holder / name).read_bytes())
    credentials = Credentials.of(mine, None, None, None)
    assert credentials is not None
    credentials.check()
    with pytest.raises(BadInputError, match="asks for gateway/plant/oven-1, not for gateway/plant/oven-2"):
        read_request(path, Identity.of("gateway", "plant/oven-2"))
    text = path.read_bytes()
    for damaged in (b"rubbish", text[: len(text) // 2], text.replace(b"A", b"B")):
        path.write_bytes(damaged)
        with pytest.raises(BadInputError):
            read_request(path, ONE)


def test_the_commands_say_what_they_did(tmp_path: Path) -> None:
    def run(*arguments: str) -> dict[str, object]:
        done = CliRunner().invoke(app, [*arguments, "--dir", str(tmp_path / "pki"), "--json"])
        assert done.exit_code == 0, done.output
        answer: dict[str, object] = json.loads(done.output)
        return answer

    run("init", "--site", "plant")
    first = run("issue", "gateway", "plant/oven-1")
    second = run("issue", "gateway", "plant/oven-1", "--days", "10")
    assert second["also_valid"] == [first["serial"]]
    assert len(str(first["serial"])) == 40, "as `list` prints it, with its zeros in front"
    assert len(run("revoke", "--serial", str(first["serial"]))["revoked"]) == 1  # type: ignore[arg-type]
    states = {entry["serial"]: entry["state"] for entry in run("list")["certificates"]}  # type: ignore[attr-defined]
    assert states == {first["serial"]: "revoked", second["serial"]: "valid"}
    assert run("revoke", "gateway", "plant/oven-1")["revoked"]
    assert run("revoke", "gateway", "plant/oven-1")["revoked"] == []
    run("crl")
    asked = run_alone("request", "worker", "w-1", "--out", str(tmp_path / "w-1"))
    assert run("issue", "worker", "w-1", "--request", str(asked["request"]))["identity"] == "worker/w-1"


def run_alone(*arguments: str) -> dict[str, object]:
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    answer: dict[str, object] = json.loads(done.output)
    return answer


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("issue", "gateway", "plant/oven-1"), "no certificate authority here: crustwatch pki init"),
        (("issue", "baker", "x"), "a role is gateway"),
        (("issue", "gateway", "oven"), "SITE/GATEWAY"),
        (("issue", "worker", "a/b"), "letters, digits"),
        (("issue", "worker", "w" * 60), "at most 64"),
        (("revoke",), "revoke takes ROLE NAME"),
        (("revoke", "--serial", "xyz"), "hexadecimal"),
    ],
)
def test_mistakes_are_named(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*arguments, "--dir", str(tmp_path / "none")])
    assert isinstance(done.exception, BadInputError)
    assert words in str(done.exception)


def test_words_that_would_be_other_lines_of_a_brokers_configuration_are_refused() -> None:
    for listen in ("not an address", "0.0.0.0\nallow_anonymous true", ""):
        with pytest.raises(BadInputError, match="--listen takes an address"):
            SiteBroker(listen)
    for user in ("root\nper_listener_settings true", "a b", ""):
        with pytest.raises(BadInputError, match="--user takes a user's name"):
            SiteBroker("::", user=user)


def test_limits_of_what_is_issued(authority: Authority) -> None:
    with pytest.raises(BadInputError, match="at most 825 days"):
        authority.issue(ONE, NOW, days=10_000)
    with pytest.raises(BadInputError, match="at least one for a broker"):
        authority.issue(Identity.of("broker", "mqtt"), NOW)
    with pytest.raises(BadInputError, match="none for others"):
        authority.issue(ONE, NOW, hosts=["localhost"])
    for host in ("bad host", "mqtt..plant", "mqtt.plant\nuser root", "", "bäcker.example"):
        with pytest.raises(BadInputError, match="--host takes a DNS name"):
            authority.issue(Identity.of("broker", "mqtt"), NOW, hosts=[host])
    authority.issue(
        Identity.of("broker", "mqtt"), NOW, hosts=["mqtt.plant-1.example", "192.0.2.10", "::1", "localhost"]
    )
    with pytest.raises(BadInputError, match="authority's own certificate ends"):
        authority.issue(ONE, NOW + timedelta(days=3650))
    with pytest.raises(BadInputError, match="no certificate of"):
        authority.revoke(NOW, Identity.of("worker", "nobody"))
