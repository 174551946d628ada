"""The options by which gateways, workers and dashboards are told who they are. Imports typer alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

IdentityFolder = Annotated[
    Path | None,
    typer.Option(envvar="CRUSTWATCH_IDENTITY", help="Folder that `crustwatch pki issue` wrote for this identity."),
]
CaFile = Annotated[
    Path | None, typer.Option(envvar="CRUSTWATCH_CA", help="Certificate of the authority; its crl.pem lies beside it.")
]
CertFile = Annotated[Path | None, typer.Option(envvar="CRUSTWATCH_CERT", help="Certificate of this identity.")]
KeyFile = Annotated[Path | None, typer.Option(envvar="CRUSTWATCH_KEY", help="Private key of this identity.")]
Unsigned = Annotated[
    bool, typer.Option("--unsigned", help="Send unsigned messages and believe anybody's: whoever reaches the broker.")
]
