"""The example firmware, each built once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_sim.firmware.examples import build_example
from shared.errors import MissingPartError


@pytest.fixture(scope="session")
def example_elf(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """example_elf(name, memory="flash"): path of the built ELF; the UF2 is beside it. Skips without the compiler."""
    built: dict[tuple[str, str], Path] = {}

    def build(name: str, memory: str = "flash") -> Path:
        if (name, memory) not in built:
            try:
                files = build_example(name, tmp_path_factory.mktemp(f"{name}-{memory}"), memory=memory)
            except MissingPartError as error:
                pytest.skip(str(error))
            built[name, memory] = files.elf
        return built[name, memory]

    return build
