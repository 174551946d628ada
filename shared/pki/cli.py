"""`crustwatch pki`: the site's certificate authority."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Certificates of a site: who may speak for which gateway, worker or dashboard (docs/security.md).",
)

Folder = Annotated[Path, typer.Option("--dir", envvar="CRUSTWATCH_PKI", help="Folder of the authority.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DEFAULT = Path("pki")
Role = Annotated[str, typer.Argument(help="gateway, worker, observer, operator or broker.")]
Name = Annotated[str, typer.Argument(help="As in the topics: SITE/GATEWAY for a gateway.")]


@app.command()
def init(
    folder: Folder = DEFAULT,
    site: Annotated[str, typer.Option(help="Named in the authority's certificate.")] = "site-1",
    days: Annotated[int, typer.Option(min=1, max=7300, help="How long the authority's certificate is valid.")] = 3650,
    json: Json = False,
) -> None:
    """Make the certificate authority of a site.

    Example: crustwatch pki init --dir pki --site plant
    """
    from shared.pki.report import init as run

    run(folder, site, days, json)


@app.command()
def issue(
    role: Role,
    name: Name,
    folder: Folder = DEFAULT,
    days: Annotated[float, typer.Option(help="How long the certificate is valid, at most 825.")] = 365,
    host: Annotated[
        list[str] | None, typer.Option(help="DNS name or address of a broker, as clients call it; may be repeated.")
    ] = None,
    request: Annotated[
        Path | None, typer.Option(help="What `crustwatch pki request` wrote; without one a key is made here.")
    ] = None,
    json: Json = False,
) -> None:
    """Issue a key and certificate; earlier ones of the same name stay valid until they expire or are revoked.

    Example: crustwatch pki issue gateway plant/oven-1 --dir pki

    Example: crustwatch pki issue broker mqtt --host mqtt.plant.example --host 192.0.2.10
    """
    from shared.pki.report import issue as run

    run(folder, role, name, days, host or [], request, json)


@app.command()
def request(
    role: Role,
    name: Name,
    out: Annotated[Path, typer.Option(help="Folder for key.pem and request.pem; the certificate joins them.")],
    json: Json = False,
) -> None:
    """Make a key that never leaves this machine, and the request to take to the authority.

    Example: crustwatch pki request gateway plant/oven-1 --out identity
    """
    from shared.pki.report import request as run

    run(out, role, name, json)


@app.command()
def revoke(
    role: Annotated[str | None, typer.Argument(help="gateway, worker, observer, operator or broker.")] = None,
    name: Annotated[str | None, typer.Argument(help="Whose certificates; all of them without --serial.")] = None,
    folder: Folder = DEFAULT,
    serial: Annotated[str | None, typer.Option(help="Only this one; `crustwatch pki list` shows it.")] = None,
    json: Json = False,
) -> None:
    """Revoke certificates and write the revocation list anew.

    Example: crustwatch pki revoke gateway plant/oven-1 --dir pki
    """
    from shared.pki.report import revoke as run

    run(folder, role, name, serial, json)


@app.command("list")
def list_issued(folder: Folder = DEFAULT, json: Json = False) -> None:
    """List every certificate and whether it still counts.

    Example: crustwatch pki list --dir pki
    """
    from shared.pki.report import show as run

    run(folder, json)


@app.command()
def crl(folder: Folder = DEFAULT, json: Json = False) -> None:
    """Write the revocation list anew, so that it counts for another year.

    Example: crustwatch pki crl --dir pki
    """
    from shared.pki.report import renew as run

    run(folder, json)
