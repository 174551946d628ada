"""Who may use which topic: the access rules of mosquitto (mosquitto.conf(5), acl_file), one block an identity.

No patterns with `%u`: a rule that nobody wrote for an identity does not exist for it, and the file can be read line by
line. Mosquitto 2.0 grants every subscription and filters what it delivers, retained messages included; a refused
publication is answered with reason 0x87.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from shared.errors import BadInputError
from shared.pki.identity import Identity
from shared.topics import DISCOVERY_PREFIX, ROOT, STATE_FILTERS, worker_status, worker_status_filter

Access = Literal["read", "write"]


class Rule(NamedTuple):
    """One allowed topic filter; everything else is refused."""

    access: Access
    topic: str


def rules(identity: Identity) -> list[Rule]:
    """What an identity may do."""
    match identity.role:
        case "gateway":
            return _gateway(identity)
        case "worker":
            return [
                Rule("read", f"{ROOT}/req/+/+/+/+"),
                Rule("write", f"{ROOT}/rsp/+/+"),
                Rule("write", worker_status(identity.name)),
            ]
        case "observer":
            return _state_topics()
        case "operator":
            return [*_state_topics(), Rule("write", f"{ROOT}/+/+/+/set")]
        case "broker":
            return []


def _gateway(identity: Identity) -> list[Rule]:
    line = identity.line
    return [
        Rule("write", line.status),
        Rule("write", line.stats),
        *(Rule("write", f"{line.prefix}/+/{last}") for last in ("verdict", "event", "snapshot", "state")),
        Rule("read", f"{line.prefix}/+/set"),
        Rule("write", f"{ROOT}/req/+/+/{line.site}/{line.gateway}"),
        Rule("read", line.response),
        Rule("read", worker_status_filter()),
        Rule("write", line.discovery()),
    ]


def _state_topics() -> list[Rule]:
    return [*(Rule("read", topic) for topic in STATE_FILTERS), Rule("read", f"{DISCOVERY_PREFIX}/device/+/config")]


def acl_text(identities: Iterable[Identity]) -> str:
    """The file for mosquitto. Raises BadInputError when two gateways would share a discovery topic."""
    wanted = sorted(set(identities))
    owners: dict[str, Identity] = {}
    for identity in wanted:
        if identity.role == "gateway" and (other := owners.setdefault(identity.line.discovery(), identity)) != identity:
            raise BadInputError(f"{other} and {identity} would share {identity.line.discovery()}: rename one")
    lines = ["# Written by `crustwatch broker config`. What no line allows is refused."]
    for identity in wanted:
        if allowed := rules(identity):
            lines += ["", f"user {identity}", *(f"topic {rule.access} {rule.topic}" for rule in allowed)]
    return "\n".join([*lines, ""])
