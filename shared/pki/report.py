"""What the commands of `crustwatch pki` do and print."""

from __future__ import annotations

import json as json_module
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from shared.errors import BadInputError
from shared.pki import files
from shared.pki.authority import Authority, Issued, utc_now
from shared.pki.identity import Identity
from shared.pki.request import read_request, write_request


def init(folder: Path, site: str, days: int, as_json: bool) -> None:
    """`crustwatch pki init`."""
    authority = Authority.create(folder, site, utc_now(), days)
    ends = authority.certificate.not_valid_after_utc
    _say(
        {"folder": str(folder), "site": site, "not_after": _time(ends)},
        f"authority of {site} in {folder}, valid until {ends:%Y-%m-%d}\n"
        f"keep {folder / files.CA_KEY} to yourself: whoever has it can speak for every gateway and worker",
        as_json,
    )


def request(folder: Path, role: str, name: str, as_json: bool) -> None:
    """`crustwatch pki request`."""
    identity = Identity.of(role, name)
    path = write_request(folder, identity)
    _say(
        {"identity": str(identity), "request": str(path)},
        f"take {path} to the authority: crustwatch pki issue {role} {name} --request {path.name}\n"
        f"and bring {files.CERTIFICATE}, {files.CA_CERTIFICATE} and {files.CRL} back into {folder}",
        as_json,
    )


def issue(folder: Path, role: str, name: str, days: float, hosts: list[str], asked: Path | None, as_json: bool) -> None:
    """`crustwatch pki issue`."""
    identity, now = Identity.of(role, name), utc_now()
    authority = Authority(folder)
    held = None if asked is None else read_request(asked, identity)
    holder = authority.issue(identity, now, days, hosts, held)
    certificate = files.read_certificate(holder / files.CERTIFICATE)
    ends, serial = certificate.not_valid_after_utc, certificate.serial_number
    others = [
        other
        for other in authority.issued()
        if other.identity == identity and other.serial != serial and other.state(now) == "valid"
    ]
    words = f"{identity}: serial {serial:040x}, valid until {ends:%Y-%m-%d}\nfolder for its machine: {holder}"
    if others:
        words += "\nstill valid beside it: " + ", ".join(f"{other.serial:040x}" for other in others)
    _say(
        {
            "identity": str(identity),
            "serial": f"{serial:040x}",
            "not_after": _time(ends),
            "folder": str(holder),
            "also_valid": [f"{other.serial:040x}" for other in others],
        },
        words,
        as_json,
    )


def revoke(folder: Path, role: str | None, name: str | None, serial: str | None, as_json: bool) -> None:
    """`crustwatch pki revoke`."""
    if (role is None or name is None) == (serial is None):
        raise BadInputError("revoke takes ROLE NAME for all that somebody holds, or --serial for one certificate")
    number = _serial(serial)
    identity = Identity.of(role, name) if role is not None and name is not None else None
    authority = Authority(folder)
    revoked = authority.revoke(utc_now(), identity, number)
    lines = [f"revoked {issued.identity} serial {issued.serial:040x}" for issued in revoked] or ["revoked before"]
    lines.append(f"copy {folder / files.CRL} to the broker, the gateways and the workers, and send the broker SIGHUP")
    _say({"revoked": [_entry(issued, utc_now()) for issued in revoked]}, "\n".join(lines), as_json)


def show(folder: Path, as_json: bool) -> None:
    """`crustwatch pki list`."""
    authority, now = Authority(folder), utc_now()
    issued = authority.issued()
    crl_ends = files.read_crl(folder / files.CRL).next_update_utc
    ends = authority.certificate.not_valid_after_utc
    lines = [f"authority valid until {ends:%Y-%m-%d}, revocation list until {crl_ends:%Y-%m-%d}"]
    lines += [f"{i.state(now):8} {i.not_after:%Y-%m-%d}  {i.serial:040x}  {i.identity}" for i in issued]
    data = {
        "not_after": _time(ends),
        "crl_next_update": _time(crl_ends),
        "certificates": [_entry(entry, now) for entry in issued],
    }
    _say(data, "\n".join(lines), as_json)


def renew(folder: Path, as_json: bool) -> None:
    """`crustwatch pki crl`."""
    until = Authority(folder).renew_crl(utc_now())
    _say({"crl_next_update": _time(until)}, f"{folder / files.CRL}: counts until {until:%Y-%m-%d}", as_json)


def _serial(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text, 16)
    except ValueError:
        raise BadInputError(f"--serial is hexadecimal as `crustwatch pki list` shows it, not {text[:60]!r}") from None


def _entry(issued: Issued, now: datetime) -> dict[str, Any]:
    return {
        "identity": str(issued.identity),
        "serial": f"{issued.serial:040x}",
        "not_after": _time(issued.not_after),
        "state": issued.state(now),
    }


def _time(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat()


def _say(data: dict[str, Any], words: str, as_json: bool) -> None:
    typer.echo(json_module.dumps(data) if as_json else words)
