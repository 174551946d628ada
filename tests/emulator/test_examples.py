"""The shared build of the example firmware."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firmware_sim.cli import app
from firmware_sim.firmware.examples import build_example, list_examples
from firmware_sim.rp2040 import Board
from shared.errors import BadInputError


@pytest.mark.parametrize("memory", ["flash", "sram"])
@pytest.mark.parametrize("suffix", [".elf", ".uf2"])
def test_hello_prints_and_echoes(example_elf: Callable[..., Path], memory: str, suffix: str) -> None:
    board = Board()
    board.load(example_elf("hello", memory).with_suffix(suffix))
    assert board.run(until_text="hello from the RP2040\n", max_cycles=5_000_000).reason == "text"
    board.uart0.write(b"pizza.")
    stop = board.run(max_cycles=5_000_000)
    assert (stop.reason, stop.r0, board.uart0.sent) == ("bkpt", 0, b"hello from the RP2040\nPIZZA.")
    assert board.clock_hz == 125_000_000
    assert board.warnings == []


def test_every_example_builds_and_says_what_it_is(example_elf: Callable[..., Path]) -> None:
    for example in list_examples():
        assert example.description
        assert example_elf(example.name).stat().st_size > 1000


def test_the_command_lists_and_builds(example_elf: Callable[..., Path], tmp_path: Path) -> None:
    example_elf("hello")  # skips without the compiler
    runner = CliRunner()
    listed = json.loads(runner.invoke(app, ["examples", "--json"]).stdout)
    assert [example["name"] for example in listed] == [example.name for example in list_examples()]
    assert "hello" in [example["name"] for example in listed]
    built = runner.invoke(app, ["examples", "--build", "hello", "--out", str(tmp_path), "--sram", "--json"])
    assert json.loads(built.stdout) == {"elf": str(tmp_path / "hello.elf"), "uf2": str(tmp_path / "hello.uf2")}
    assert (tmp_path / "hello.uf2").stat().st_size % 512 == 0


def test_builds_are_reproducible(example_elf: Callable[..., Path], tmp_path: Path) -> None:
    first = example_elf("hello")
    assert build_example("hello", tmp_path / "again").elf.read_bytes() == first.read_bytes()


def test_an_unknown_example_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"no example is called goodbye: .*hello"):
        build_example("goodbye", tmp_path)


def test_i2c_spi_without_devices_says_so(example_elf: Callable[..., Path]) -> None:
    board = Board()
    board.load(example_elf("i2c_spi"))
    stop = board.run(max_cycles=10_000_000)
    assert (stop.r0, board.uart0.sent) == (1, b"i2c nobody\nspi 00 00 00\n")
