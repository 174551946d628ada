"""How a program proves itself and whom it believes, from what it was told on its command line."""

from __future__ import annotations

import ipaddress
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from shared.errors import BadInputError
from shared.mqtt.address import BrokerAddress
from shared.pki.credentials import Credentials
from shared.pki.identity import Identity
from shared.seal.local import local_seal
from shared.seal.seal import Seal

log = logging.getLogger(__name__)

FORGEABLE = "unsigned: whoever reaches %s can forge requests and verdicts"


@dataclass(frozen=True, slots=True)
class Security:
    """One program's seal, None when it was told to go unsigned, and its side of TLS."""

    seal: Seal | None
    tls_context: Callable[[], ssl.SSLContext] | None


def choose(address: BrokerAddress, credentials: Credentials | None, unsigned: bool, identity: Identity) -> Security:
    """Signed with `credentials`, or with keys of this user on one machine; unsigned only when told so.

    Raises BadInputError when the certificate is not `identity`'s, and when nothing is known for a broker elsewhere.
    """
    if credentials is not None:
        credentials.check()
        if credentials.identity() != identity:
            raise BadInputError(f"{credentials.certificate}: is for {credentials.identity()}, not for {identity}")
        if not address.tls and not is_loopback(address.host):
            log.warning("%s is not encrypted: whoever is on the way sees every image; use mqtts://", address)
        if unsigned:
            log.warning(FORGEABLE, address)
        seal = None if unsigned else Seal.load(credentials)
        return Security(seal, credentials.client_context)
    if unsigned:
        log.warning(FORGEABLE, address)
        return Security(None, None)
    if not is_loopback(address.host):
        raise BadInputError(
            f"{address} is not this machine: --identity FOLDER (crustwatch pki issue {identity.role} {identity.name}), "
            "or --unsigned to believe whoever reaches the broker"
        )
    return Security(local_seal(identity), None)


def is_loopback(host: str) -> bool:
    """True when a broker's host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
