"""Parts of the MQTT client that need no broker: addresses, back-off, properties, the probe's packet."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from shared.broker.probe import connect_packet
from shared.errors import BadInputError
from shared.mqtt import Properties, parse_address
from shared.mqtt.backoff import Backoff
from shared.mqtt.message import MAX_USER_PROPERTIES, variable_byte_integer

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # machines may be busy


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtt://localhost", "localhost", 1883, False),
        ("localhost:2000", "localhost", 2000, False),
        ("mqtts://broker.example", "broker.example", 8883, True),
        ("mqtt://[::1]:1884", "::1", 1884, False),
    ],
)
def test_addresses(url: str, host: str, port: int, tls: bool) -> None:
    address = parse_address(url)
    assert (address.host, address.port, address.tls) == (host, port, tls)


def test_credentials_are_read_and_never_shown() -> None:
    address = parse_address("mqtts://oven:s%40lt@broker.example")
    assert (address.username, address.password) == ("oven", "s@lt")
    assert "s@lt" not in f"{address} {address!r}"


@pytest.mark.parametrize("url", ["http://broker", "mqtt://", "mqtt://host:99999", "mqtt://host/path", "mqtt://h:x"])
def test_bad_addresses_say_what_would_be_right(url: str) -> None:
    with pytest.raises(BadInputError, match="mqtt://host:port"):
        parse_address(url)


@patient
@given(st.integers(1, 10_000), st.integers(0, 2**32))
def test_backoff_is_jittered_and_capped(failures: int, seed: int) -> None:
    backoff = Backoff(first_s=0.25, cap_s=30.0, floor_s=0.1)
    delay = backoff.delay_s(failures, random.Random(seed))
    assert 0.1 <= delay <= min(30.0, 0.25 * 2.0 ** min(failures - 1, 32))


def test_backoff_spreads_a_fleet() -> None:
    backoff = Backoff()
    delays = {round(backoff.delay_s(10, random.Random(seed)), 3) for seed in range(50)}
    assert len(delays) > 40


@patient
@given(
    st.builds(
        Properties,
        response_topic=st.none() | st.just("cw/1/rsp/a/b"),
        correlation=st.none() | st.binary(min_size=16, max_size=16),
        expiry_s=st.none() | st.integers(1, 2**32 - 1),
        content_type=st.none() | st.just("application/json"),
        user=st.dictionaries(st.text("abc", min_size=1), st.text("xyz"), max_size=4),
    )
)
def test_properties_are_those_that_paho_reads(properties: Properties) -> None:
    packed = properties.pack()
    paho = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    _, length = paho.unpack(packed)  # type: ignore[no-untyped-call]
    read = {key: getattr(paho, key, None) for key in ("ResponseTopic", "CorrelationData", "ContentType")}
    assert read == {
        "ResponseTopic": properties.response_topic,
        "CorrelationData": properties.correlation,
        "ContentType": properties.content_type,
    }
    assert getattr(paho, "MessageExpiryInterval", None) == properties.expiry_s
    assert dict(getattr(paho, "UserProperty", [])) == properties.user
    assert length == len(packed)
    _, start = variable_byte_integer(packed, 0)
    assert Properties.unpack(packed[start:]) == properties


@pytest.mark.parametrize(
    "data",
    [
        b"\x23\x00\x01",  # a topic alias, which was not announced
        b"\x11\x00\x00\x00\x01",  # of CONNECT
        b"\x02\x00\x00\x00",  # cut
        b"\x03\x00\x09x",
        b"\x26\x00\x01a\x00",
        b"\x02\x00\x00\x00\x01" * 2,  # twice
        b"\x03\x00\x01\xff",
        b"\x26\x00\x01\x00\x00\x01b",  # U+0000
        b"\x26\x00\x03\xef\xbb\xbf\x00\x01b",  # U+FEFF
    ],
)
def test_properties_that_no_publish_has_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedPacket):
        Properties.unpack(data)


def test_of_repeated_user_properties_the_first_counts_and_few_are_kept() -> None:
    pairs = [("a", "1"), ("a", "2"), *((f"k{number}", "") for number in range(200))]
    packed = b"".join(Properties(user={key: value}).pack()[1:] for key, value in pairs)
    user = Properties.unpack(packed + b"\x0b\x81\x01" + b"\x01\x01").user
    assert (user["a"], len(user)) == ("1", MAX_USER_PROPERTIES - 1)


def test_the_probe_speaks_mqtt_5() -> None:
    # MQTT 5, 3.1: 0x10, remaining length, "MQTT", level 5, clean start, keep-alive 10, no properties, client id.
    assert connect_packet("cw") == bytes.fromhex("100f 0004 4d515454 05 02 000a 00 0002 6377")
