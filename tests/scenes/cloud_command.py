"""`crustwatch cloud ...` within the test's process."""

from __future__ import annotations

from typer.testing import CliRunner

from cloud.cli import app


def crustwatch(*arguments: object) -> str:
    """What `crustwatch cloud` with these arguments prints; raises what the command raises."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout
