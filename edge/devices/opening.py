"""Devices by name: the gateway's and the demo's one way to get a classifier."""

from __future__ import annotations

from pathlib import Path

from edge.devices.board import BoardDevice
from edge.devices.device import Device, DeviceKind
from edge.devices.model import DEFAULT_MODEL, DeviceModel, load_model
from firmware_sim.board.client import BoardClient
from firmware_sim.board.line import Line
from shared.errors import BadInputError
from shared.task import load_task

NAMES = "emulated[-camera][:FIRMWARE], serial:PORT, litert[:fast], tflite-runtime[:fast], onnx, reference"


def open_device(name: str, *, model: Path = DEFAULT_MODEL, task: str = "pizza") -> Device:
    """Open a classifier.

    `name`: `emulated` (the ready-built firmware on the emulated chip) or `emulated:FILE` (an ELF or UF2),
    `emulated-camera` (the same, and the chip captures the frames from its emulated camera),
    `serial:/dev/ttyUSB0`, `litert`, `litert:fast`, `tflite-runtime`, `tflite-runtime:fast`, `onnx` or `reference`.
    `model`: folder with model.tflite, gate.json and, for `onnx`, model.onnx.

    Raises BadInputError for another name or a model that does not fit the task, MissingPartError when the extra that
    the device needs is not installed, DeviceError when a board does not answer.
    """
    kind, _, argument = name.partition(":")
    loaded = load_model(model, load_task(task))
    fast = _fast(name, argument) if kind in ("litert", "tflite-runtime") else False
    if kind == "emulated":
        return _emulated(loaded, Path(argument) if argument else None)
    if kind == "emulated-camera":
        return _emulated_camera(loaded, Path(argument) if argument else None)
    if kind == "serial" and argument:
        return _serial(loaded, argument)
    if kind == "litert":
        from edge.devices.litert import LiteRtDevice

        return LiteRtDevice(loaded, fast=fast)
    if kind == "tflite-runtime":
        from edge.devices.tflite_runtime import TfliteRuntimeDevice

        return TfliteRuntimeDevice(loaded, fast=fast)
    if name == "onnx":
        from edge.devices.onnx_runtime import OnnxDevice

        return OnnxDevice(loaded)
    if name == "reference":
        from edge.devices.reference import ReferenceDevice

        return ReferenceDevice(loaded)
    raise BadInputError(f"no device {name!r}: {NAMES}")


def _fast(name: str, argument: str) -> bool:
    if argument not in ("", "fast", "reference"):
        raise BadInputError(f"no device {name!r}: {NAMES}")
    return argument == "fast"


def _emulated(model: DeviceModel, firmware: Path | None) -> Device:
    from firmware_sim.board.emulated import EmulatedLine

    return _on_line(EmulatedLine(firmware), model, "emulated RP2040", "emulated")


def _emulated_camera(model: DeviceModel, firmware: Path | None) -> Device:
    from edge.devices.camera import CameraDevice
    from firmware_sim.board.emulated import EmulatedLine

    return CameraDevice(EmulatedLine(firmware), model)


def _serial(model: DeviceModel, port: str) -> Device:
    from firmware_sim.board.serial_port import SerialLine

    return _on_line(SerialLine(port), model, f"board at {port}", "serial")


def _on_line(line: Line, model: DeviceModel, name: str, kind: DeviceKind) -> Device:
    try:
        return BoardDevice(BoardClient(line), model, name, kind)
    except BaseException:
        line.close()
        raise
