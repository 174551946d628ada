"""Start, watch and stop the embedded broker."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from shared import children
from shared.broker import iotcore, mosquitto, probe
from shared.errors import CrustwatchError, MissingPartError
from shared.mqtt.address import BrokerAddress

Kind = Literal["mosquitto", "iotcore"]

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 20.0  # iotcore needs a Python of its own, on a busy machine
STOP_GRACE_S = 1.0
_POLL_S = 0.05
_PORT_ATTEMPTS = 5
_LOG_TAIL_BYTES = 400


def choose_kind(wanted: Kind | None = None) -> Kind:
    """The broker to run: `wanted`, else mosquitto when installed, else iotcore. Raises MissingPartError."""
    if wanted in (None, "mosquitto") and mosquitto.find_mosquitto() is not None:
        return "mosquitto"
    if wanted in (None, "iotcore") and iotcore.is_installed():
        return "iotcore"
    name = f"the broker {wanted} is" if wanted else "no MQTT broker is"
    raise MissingPartError(f"{name} not installed: apt-get install mosquitto, or pip install 'crustwatch[sim]'")


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe_socket:
        probe_socket.bind((LOOPBACK, 0))
        port: int = probe_socket.getsockname()[1]
        return port


class EmbeddedBroker:
    """A broker child process on loopback; `with` starts and stops it. Start it from the main thread.

    `folder` keeps the broker's configuration, data and log; without one a temporary folder is used.
    """

    def __init__(self, kind: Kind | None = None, port: int = 0, folder: Path | None = None) -> None:
        self.kind = choose_kind(kind)
        self._wanted_port = port
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self.address = BrokerAddress(LOOPBACK, port)

    @property
    def pid(self) -> int | None:
        """The process id of the running broker."""
        return self._child.pid if self._child is not None else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait for a CONNACK. Raises CrustwatchError with the broker's own words when none comes."""
        if self._folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="crustwatch-broker-", ignore_cleanup_errors=True)
        attempts = 1 if self._wanted_port else _PORT_ATTEMPTS  # a free port may be taken before the child binds it
        for attempt in range(attempts):
            try:
                self._start_once(self._wanted_port or free_port())
                return
            except CrustwatchError:
                self._end_child()
                if attempt == attempts - 1:
                    self.stop()
                    raise
            except BaseException:
                self.stop()
                raise

    def _start_once(self, port: int) -> None:
        self.address = BrokerAddress(LOOPBACK, port)
        if probe.answers(LOOPBACK, port, timeout_s=0.2):
            raise CrustwatchError(f"a broker already listens on {self.address}")
        folder = self._data_folder()
        log_path = folder / "broker.log"
        with log_path.open("wb") as log_file:
            self._child = children.spawn(self._command(port, folder), stdout=log_file, stderr=log_file)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not probe.answers(LOOPBACK, port, timeout_s=0.5):
            if self._child.poll() is not None or time.monotonic() > deadline:
                words = log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace").strip().replace("\n", "; ")
                raise CrustwatchError(f"{self.kind} does not serve {self.address}: {words or 'it says nothing'}")
            time.sleep(_POLL_S)
        if self._child.poll() is not None:  # something else answered on that port
            raise CrustwatchError(f"{self.kind} could not bind {self.address}")

    def _command(self, port: int, folder: Path) -> list[str]:
        if self.kind == "mosquitto":
            binary = mosquitto.find_mosquitto()
            assert binary is not None, "choose_kind saw it"  # noqa: S101
            return mosquitto.command(binary, LOOPBACK, port, folder)
        return iotcore.command(LOOPBACK, port, folder)

    def _data_folder(self) -> Path:
        folder = Path(self._temporary.name) if self._temporary is not None else self._folder
        assert folder is not None  # noqa: S101
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def kill(self) -> None:
        """Kill -9, for those who test what survives; `start` brings it back."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def _end_child(self) -> None:
        if self._child is not None:
            children.stop(self._child, STOP_GRACE_S)
            self._child = None

    def is_alive(self) -> bool:
        """True when the child runs and answers a CONNECT."""
        return (
            self._child is not None
            and self._child.poll() is None
            and probe.answers(self.address.host, self.address.port)
        )

    def stop(self) -> None:
        """Stop the child and remove the temporary folder."""
        self._end_child()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
