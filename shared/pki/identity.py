"""Who a certificate speaks for: the common name of its subject, which is also its MQTT user name.

| role     | common name                | may                                                                      |
| -------- | -------------------------- | ------------------------------------------------------------------------ |
| gateway  | `gateway/<site>/<gateway>` | publish below its own prefix, send its own requests, read its own answers |
| worker   | `worker/<name>`            | read requests, answer them, publish its own status                       |
| observer | `observer/<name>`          | read state topics                                                        |
| operator | `operator/<name>`          | read state topics and change settings                                    |
| broker   | `broker/<name>`            | serve TLS; it can sign nothing and log in nowhere                        |
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Self, get_args

from shared.errors import BadInputError
from shared.topics import Line, check_name

Role = Literal["gateway", "worker", "observer", "operator", "broker"]
ROLES: tuple[Role, ...] = get_args(Role)
MAX_COMMON_NAME = 64  # X.520, ub-common-name


class Identity(NamedTuple):
    """One holder of certificates. Two certificates of one identity may be valid at a time: that is key rotation."""

    role: Role
    name: str  # site/gateway for a gateway

    @classmethod
    def of(cls, role: str, name: str) -> Self:
        """A checked identity. Raises BadInputError."""
        if role not in ROLES:
            raise BadInputError(f"a role is {', '.join(ROLES)}, not {role[:40]!r}")
        if role == "gateway":
            site, slash, gateway = name.partition("/")
            if not slash:
                raise BadInputError(f"a gateway is SITE/GATEWAY as in its topics, not {name[:80]!r}")
            Line.of(site, gateway)
        else:
            check_name(name, role)
        identity = cls(role, name)
        if len(str(identity)) > MAX_COMMON_NAME:
            raise BadInputError(f"{identity}: a certificate's name has at most {MAX_COMMON_NAME} characters")
        return identity

    @classmethod
    def parse(cls, common_name: str) -> Self:
        """The identity in a certificate's common name. Raises BadInputError."""
        role, _, name = common_name.partition("/")
        return cls.of(role, name)

    @property
    def line(self) -> Line:
        """The line that a gateway speaks for. Raises BadInputError for another role."""
        if self.role != "gateway":
            raise BadInputError(f"{self} is not a gateway's identity")
        return Line.of(*self.name.split("/"))

    def __str__(self) -> str:
        """The common name."""
        return f"{self.role}/{self.name}"
