"""Rows in whole Parquet files: appended by atomic renames, merged now and then, never half there.

```
000000007.parquet            rows of the seventh append
000000001-000000006.parquet  those of appends 1 to 6, merged
```
A file whose numbers lie within another's was merged into it just before a crash, and is ignored. Whoever writes holds
the lock of the store, so that numbers are given once; files are synced to the disk before they have their name.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shared.atomic_file import PARTIAL, replacing
from shared.errors import BadInputError, MissingPartError

MERGED_FILES = 64  # so many small files become one
FULL_ROWS = 4096  # a file of so many rows is merged no further

_NAME = re.compile(r"(\d{9})(?:-(\d{9}))?\.parquet")


class _File(NamedTuple):
    first: int
    last: int
    path: Path


class RowLog:
    """A table below `folder`. `schema` is an Arrow schema; rows are mappings with its names."""

    def __init__(self, folder: Path, schema: Any) -> None:
        self._folder, self._schema = folder, schema

    def create(self) -> None:
        """Make the folder and clear away what a killed writer left half-written; under the lock."""
        self._folder.mkdir(parents=True, exist_ok=True)
        counted = {file.path.name for file in self._files()}
        for entry in list(self._folder.iterdir()):
            merged_before = _NAME.fullmatch(entry.name) and entry.name not in counted
            if merged_before or entry.name.endswith(PARTIAL):
                entry.unlink(missing_ok=True)

    def last(self) -> int:
        """The number of the newest append, 0 before the first."""
        return max((file.last for file in self._files()), default=0)

    def append(self, rows: Sequence[dict[str, Any]]) -> int:
        """Add rows as one file, on the disk when this returns; its number. Under the lock. Raises OSError."""
        number = self.last() + 1
        self._write(_name(number, number), arrow().Table.from_pylist(list(rows), schema=self._schema))
        self._merge()
        return number

    def read(self, columns: Sequence[str] | None = None, after: int = 0) -> Any:
        """All rows of appends above `after` in their order, as an Arrow table. Raises BadInputError, OSError."""
        pa = arrow()
        names = list(columns) if columns is not None else self._schema.names
        empty = pa.schema([self._schema.field(name) for name in names]).empty_table()
        tables = [self._load(file, names) for file in self._files() if file.last > after]
        return pa.concat_tables([empty, *tables])

    def keep(self, wanted: Callable[[Any], Any]) -> int:
        """Delete rows: `wanted` gives a bool for each row of an Arrow table. Returns how many went. Under the lock."""
        gone = 0
        for file in self._files():
            table = self._load(file, self._schema.names)
            kept = table.filter(arrow().array(wanted(table), arrow().bool_()))
            if len(kept) == len(table):
                continue
            gone += len(table) - len(kept)
            self._write(file.path.name, kept)  # also when empty: its number must not be given again
        return gone

    def bytes(self) -> int:
        """What the files take."""
        return sum(file.path.stat().st_size for file in self._files())

    def _files(self) -> list[_File]:
        """The files that count, in order."""
        found = []
        for name in os.listdir(self._folder) if self._folder.is_dir() else ():
            if match := _NAME.fullmatch(name):
                first = int(match[1])
                found.append(_File(first, int(match[2] or first), self._folder / name))
        found.sort(key=lambda file: (file.first, -file.last))
        counted: list[_File] = []
        for file in found:
            if not counted or file.last > counted[-1].last:
                counted.append(file)
        return counted

    def _load(self, file: _File, names: Sequence[str]) -> Any:
        try:
            with _parquet().ParquetFile(file.path, memory_map=False) as source:
                table = source.read(columns=list(names))
            return table.select(list(names)).cast(arrow().schema([self._schema.field(name) for name in names]))
        except (arrow().ArrowException, ValueError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BadInputError(f"{file.path}: not a table of this store: {reason}") from None

    def _write(self, name: str, table: Any) -> None:
        with replacing(self._folder / name, 0o600) as file:
            _parquet().write_table(table, file, compression="zstd")

    def _merge(self) -> None:
        """Merge the newest run of small files when it is long: first single ones, then merged ones."""
        files = self._files()
        singles = [file for file in files if file.first == file.last]
        if len(singles) >= MERGED_FILES:
            self._merge_run(singles)
        small = [file for file in self._files() if FULL_ROWS > file.last - file.first > 0]
        if len(small) >= MERGED_FILES:
            self._merge_run(small)

    def _merge_run(self, files: Sequence[_File]) -> None:
        """One file for a run of files; the singles are the newest, so that a run has no gap."""
        name = _name(files[0].first, files[-1].last)
        self._write(name, arrow().concat_tables([self._load(file, self._schema.names) for file in files]))
        for file in files:
            file.path.unlink(missing_ok=True)


def _name(first: int, last: int) -> str:
    return f"{first:09d}.parquet" if first == last else f"{first:09d}-{last:09d}.parquet"


def arrow() -> Any:
    """The module pyarrow. Raises MissingPartError."""
    try:
        import pyarrow
    except ImportError:
        raise MissingPartError("a store needs pyarrow: pip install 'crustwatch[store]'") from None
    return pyarrow


def _parquet() -> Any:
    arrow()
    import pyarrow.parquet

    return pyarrow.parquet


@contextlib.contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Turn the errors of a disk into one line. Raises BadInputError."""
    try:
        yield
    except OSError as error:
        raise BadInputError(f"{folder}: the store cannot be used: {error.strerror or error}") from None
