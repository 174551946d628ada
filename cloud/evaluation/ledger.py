"""The answers of an evaluation, one JSON line each. A run that was killed goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.errors import BadInputError
from shared.output_folder import output_file


class Ledger:
    """A JSONL file: first what was run, then a row for each answer, written as soon as it is there.

    Use it with `with`. A last line that was cut off by a kill is dropped and asked again.
    """

    def __init__(self, path: Path, run: Mapping[str, Any]) -> None:
        """Open or create `path` for `run`: checkpoint, data and options.

        Raises BadInputError when the file is not a ledger, or that of another run, or cannot be written.
        """
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        output_file(path)
        whole = self._read(dict(run)) if path.exists() else 0
        self._file = path.open("r+b" if path.exists() else "wb")
        self._file.truncate(whole)
        self._file.seek(whole)
        if whole == 0:
            self._write({"run": dict(run)})

    def add(self, key: str, row: Mapping[str, Any]) -> None:
        """Keep an answer; `key` names its question."""
        self.rows[key] = dict(row)
        self._write({"id": key, **row})

    def _read(self, run: dict[str, Any]) -> int:
        """Read the rows that are there; returns the length of the complete lines in bytes."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if not whole and not b'{"run": '.startswith(data[:8]):
            raise BadInputError(f"{self.path} is no file of answers: name another --out")
        try:
            lines = [json.loads(line) for line in data[:whole].splitlines()]
            if lines and lines[0]["run"] != run:
                changed = sorted(name for name in run if lines[0]["run"].get(name) != run[name])
                raise BadInputError(f"{self.path} is of another run ({', '.join(changed)} differ): name another --out")
            self.rows = {line.pop("id"): line for line in lines[1:]}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, BadInputError):
                raise
            raise BadInputError(f"{self.path} is no file of answers: name another --out") from None
        return whole

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def read_ledger(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """What was run, and the rows by key, of a ledger that is not being written. Raises BadInputError."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return dict(lines[0]["run"]), {line.pop("id"): line for line in lines[1:]}
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise BadInputError(f"{path} is no file of answers of `crustwatch cloud eval --out`") from None
