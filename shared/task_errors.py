"""Errors that leave a TaskGroup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import CrustwatchError


@contextmanager
def own_error_alone() -> Iterator[None]:
    """Raise the first CrustwatchError of an exception group by itself; groups without one pass.

    `except*` cannot do this on every Python 3.11: before 3.11.4 (Debian 12 has 3.11.2) it puts what is raised inside it
    into a group again (python/cpython#103590).
    """
    try:
        yield
    except ExceptionGroup as group:
        error: BaseException | None = group.subgroup(CrustwatchError)
        if error is None:
            raise
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
