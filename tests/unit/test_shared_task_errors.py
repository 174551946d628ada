"""Errors that leave a TaskGroup: ours alone, on every Python 3.11."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import BadInputError, CrustwatchError
from shared.task_errors import own_error_alone


async def fail(error: Exception) -> None:
    raise error


async def in_groups(*errors: Exception, depth: int = 1) -> None:
    with own_error_alone():
        if depth > 1:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(nested(*errors))
            return
        async with asyncio.TaskGroup() as tasks:
            for error in errors:
                tasks.create_task(fail(error))


async def nested(*errors: Exception) -> None:
    async with asyncio.TaskGroup() as tasks:
        for error in errors:
            tasks.create_task(fail(error))


@pytest.mark.parametrize("depth", [1, 2])
def test_our_error_comes_out_alone(depth: int) -> None:
    with pytest.raises(BadInputError, match="no such camera") as caught:
        asyncio.run(in_groups(ValueError("other"), BadInputError("no such camera"), depth=depth))
    assert not isinstance(caught.value, BaseExceptionGroup)


def test_other_errors_stay_in_their_group() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(in_groups(KeyError("a"), ZeroDivisionError("b")))
    assert caught.value.subgroup(CrustwatchError) is None
