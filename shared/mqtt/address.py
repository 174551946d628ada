"""Where a broker is: `mqtt://[user:password@]host[:port]`, or `mqtts://` for TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from shared.errors import BadInputError

DEFAULT_PORTS = {"mqtt": 1883, "mqtts": 8883}  # IANA


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Host, port, transport security and credentials of a broker."""

    host: str = "127.0.0.1"
    port: int = 1883
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """The address without credentials, fit for logs."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def parse_address(url: str) -> BrokerAddress:
    """Read a broker's URL. Raises BadInputError that shows the expected form (never the password)."""
    expected = "a broker is mqtt://host:port or mqtts://user:password@host:port"
    try:
        parts = urlsplit(url if "://" in url else f"mqtt://{url}")
        port = parts.port
    except ValueError:
        raise BadInputError(f"{expected}; the port is 1 to 65535") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise BadInputError(f"{expected}, not {parts.scheme}://{parts.hostname or ''}{parts.path}")
    return BrokerAddress(
        host=parts.hostname,
        port=port or DEFAULT_PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )
