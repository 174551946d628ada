"""A board on a serial port (USB adapter or UART), through pyserial."""

from __future__ import annotations

import time
from typing import Any

from shared.errors import DeviceError
from shared.uart.messages import BAUD


class SerialLine:
    """The port `port` at the protocol's speed. Raises DeviceError when it cannot be opened.

    `reopen` after an unplugged adapter is back at the same name; see `firmware_sim.board.line.Line`.
    """

    def __init__(self, port: str, baud: int = BAUD) -> None:
        self.name = port
        self._baud = baud
        self._port: Any = None
        self.reopen()

    def now_s(self) -> float:
        """Seconds of the machine's monotonic clock."""
        return time.monotonic()

    def write(self, data: bytes) -> None:
        """Queue bytes. Raises DeviceError when the port is gone."""
        import serial

        try:
            self._opened().write(data)
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from None

    def read(self, until_s: float) -> bytes:
        """What is there, or the first bytes that come before `until_s`. Raises DeviceError when the port is gone."""
        import serial

        try:
            port = self._opened()
            port.timeout = max(0.0, until_s - self.now_s())
            first: bytes = port.read(1)
            if not first:
                return b""
            rest: bytes = port.read(port.in_waiting)
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from None
        return first + rest

    def reopen(self) -> None:
        """Open the port, and forget what it had received. Raises DeviceError when it is not there."""
        import serial

        self.close()
        try:
            self._port = serial.Serial(self.name, self._baud, timeout=0, write_timeout=5)
            self._port.reset_input_buffer()
        except (serial.SerialException, OSError, ValueError) as error:
            raise DeviceError(f"{self.name}: the serial port cannot be opened: {error}") from None

    def close(self) -> None:
        """Give the port back."""
        port, self._port = self._port, None
        if port is not None:
            port.close()

    def _opened(self) -> Any:
        if self._port is None:
            raise OSError("it is closed")
        return self._port

    def _lost(self, error: Exception) -> DeviceError:
        self.close()
        return DeviceError(f"{self.name}: the serial port is gone (unplugged?): {error}")
