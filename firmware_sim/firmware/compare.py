"""The table of `make bench-compiler`: MLPerf Tiny networks on the emulated chip beside CMSIS-NN."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from firmware_sim.firmware.measure_model import bench_model
from shared.errors import BadInputError

CMSIS_NN_MS = {"vww_96_int8": 947, "resnet8_cifar10_int8": 1093, "kws_int8": 316}
"""One core at 125 MHz, gcc 12.2, cycles of another emulator that agreed with published silicon within 2 %."""
TITLES = (
    "network",
    "MACs",
    "CMSIS-NN ms",
    "ms, 1 core",
    "ms, 2 cores",
    "cycles a MAC, 1 core",
    "predictions off by %",
    "flash bytes",
    "SRAM bytes",
)


def rows(models: Path) -> Iterator[str]:
    """Lines of the table, measured as they are taken. BadInputError when the folder lacks a model."""
    yield "| " + " | ".join(TITLES) + " |"
    yield "|" + " --- |" * len(TITLES)
    for name, other in CMSIS_NN_MS.items():
        path = models / f"{name}.tflite"
        if not path.is_file():
            raise BadInputError(f"{path}: is missing; the folder must hold {', '.join(CMSIS_NN_MS)} (.tflite)")
        found, both = bench_model(path), bench_model(path, cores=2)
        off = f"{found.prediction_error_percent} / {both.prediction_error_percent}"
        yield (
            f"| {name} | {found.macs:,} | {other} | {found.ms:.1f} | {both.ms:.1f} | {found.cycles_per_mac:.2f} | "
            f"{off} | {found.flash_bytes:,} | {found.sram_bytes:,} |"
        )
