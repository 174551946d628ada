"""A mosquitto for a site: TLS 1.3 with client certificates only, access rules by identity, limits, persistence."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shared.broker.access import acl_text
from shared.broker.mosquitto import AUTOSAVE_S, MAX_PACKET_BYTES, MAX_QUEUED_BYTES
from shared.errors import BadInputError
from shared.pki import files
from shared.pki.authority import Authority
from shared.pki.identity import Identity

CONFIGURATION = "mosquitto.conf"
ACCESS_RULES = "acl.conf"


@dataclass(frozen=True, slots=True)
class SiteBroker:
    """Where the broker listens and what it may use, units in the field names."""

    listen: str = "0.0.0.0"  # noqa: S104 - clients need a certificate
    port: int = 8883  # IANA secure-mqtt
    user: str = "mosquitto"  # whom it becomes when root starts it
    max_connections: int = 2000
    max_keepalive_s: int = 120  # a client that vanished is noticed after 1.5 times this
    max_inflight: int = 64  # QoS 1 messages on their way to one client
    max_queued: int = 10_000  # messages that wait for one slow client
    memory_bytes: int = 2 * 1024**3  # of the whole broker; beyond it new messages are refused

    def __post_init__(self) -> None:
        """Raises BadInputError for words that would end up as other lines of the configuration, or as none."""
        if not re.fullmatch(r"[\w.:-]+", self.listen, re.ASCII):
            raise BadInputError(f"--listen takes an address or a host name, not {self.listen[:80]!r}")
        if not re.fullmatch(r"[\w.-]+", self.user, re.ASCII):
            raise BadInputError(f"--user takes a user's name, not {self.user[:80]!r}")


def configuration(config: SiteBroker, folder: Path, data: Path) -> str:
    """The text of mosquitto.conf (mosquitto.conf(5), 2.0) with its files in `folder`."""
    return "\n".join(
        (
            "# Written by `crustwatch broker config`. No listener without TLS, no client without a certificate.",
            "per_listener_settings false",
            "allow_anonymous false",
            f"acl_file {folder / ACCESS_RULES}",
            f"user {config.user}",
            "",
            "persistence true",
            f"persistence_location {data}/",
            f"autosave_interval {AUTOSAVE_S}",
            "persistent_client_expiration 1d",
            "",
            "set_tcp_nodelay true",
            f"max_packet_size {MAX_PACKET_BYTES}",
            f"max_inflight_messages {config.max_inflight}",
            f"max_queued_messages {config.max_queued}",
            f"max_queued_bytes {MAX_QUEUED_BYTES}",
            f"memory_limit {config.memory_bytes}",
            f"max_keepalive {config.max_keepalive_s}",
            "",
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            "log_type notice",
            "",
            f"listener {config.port} {config.listen}",
            f"max_connections {config.max_connections}",
            "max_topic_alias 0",
            f"cafile {folder / files.CA_CERTIFICATE}",
            f"certfile {folder / files.CERTIFICATE}",
            f"keyfile {folder / files.KEY}",
            f"crlfile {folder / files.CRL}",
            "tls_version tlsv1.3",
            "require_certificate true",
            "use_identity_as_username true",
            # Else a client could take the name of another one, which the broker would then disconnect.
            "use_username_as_clientid true",
            "",
        )
    )


def write_site(
    authority: Authority, out: Path, config: SiteBroker, now: datetime, data: Path | None = None
) -> list[Identity]:
    """Write configuration, access rules and the broker's files into `out`; returns who may connect.

    Raises BadInputError when the authority has issued no certificate for a broker.
    """
    holders = sorted({issued.identity for issued in authority.issued() if issued.state(now) == "valid"})
    brokers = [identity for identity in holders if identity.role == "broker"]
    if len(brokers) != 1:
        found = ", ".join(identity.name for identity in brokers) or "none"
        raise BadInputError(f"one broker is needed, there are: {found}; crustwatch pki issue broker NAME --host NAME")
    out, holder = out.absolute(), authority.folder / "broker" / brokers[0].name
    data = out / "data" if data is None else data.absolute()
    try:
        for folder in (out, data):
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise BadInputError(f"{error.filename}: cannot be written: {error.strerror}") from None
    for name in (files.CA_CERTIFICATE, files.CERTIFICATE, files.KEY):
        files.replace_file(out / name, files.read_file(holder / name), mode=0o600)
    files.replace_file(out / files.CRL, files.read_file(authority.folder / files.CRL))
    files.replace_file(out / ACCESS_RULES, acl_text(holders).encode())
    files.replace_file(out / CONFIGURATION, configuration(config, out, data).encode())
    _give_to(config.user, (out, data, *out.glob("*.*")))
    return [identity for identity in holders if identity.role != "broker"]


def _give_to(user: str, paths: Sequence[Path]) -> None:
    """Make the broker's user the owner, so that it can read its key again at SIGHUP; only root can."""
    for path in paths:
        try:
            shutil.chown(path, user)
        except (LookupError, PermissionError):  # no such user here, or not root: whoever starts the broker owns them
            return


def barring_folder(user: str, folder: Path) -> Path | None:
    """The first folder on the way to `folder` that mosquitto, started by root, cannot enter as `user`; None: it can.

    None as well when this is not root's machine or has no such user: then another one starts the broker. Access
    control lists beside the mode are not looked at.
    """
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        return None
    if os.geteuid() != 0 or account.pw_uid == 0:
        return None
    groups = os.getgrouplist(user, account.pw_gid)
    for parent in reversed(folder.resolve().parents):
        found = parent.stat()
        bit = 0o100 if found.st_uid == account.pw_uid else 0o010 if found.st_gid in groups else 0o001
        if not found.st_mode & bit:
            return parent
    return None
