"""A site with its authority, a mosquitto configured by `crustwatch broker config`, and clients with certificates."""

from __future__ import annotations

import contextlib
import getpass
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from shared import children
from shared.broker import mosquitto
from shared.broker.embedded import free_port
from shared.broker.site import CONFIGURATION, SiteBroker, write_site
from shared.mqtt import BrokerAddress, MqttClient, MqttConfig
from shared.mqtt.backoff import Backoff
from shared.pki.authority import Authority, utc_now
from shared.pki.credentials import Credentials
from shared.pki.identity import Identity

QUICK = Backoff(first_s=0.05, cap_s=0.2, floor_s=0.02)
IDENTITIES = (
    ("gateway", "plant/oven-1"),
    ("gateway", "plant/oven-2"),
    ("worker", "w-1"),
    ("worker", "w-2"),
    ("observer", "grafana"),
    ("operator", "shift-lead"),
)


class Site:
    """An authority in `folder`, and a broker that knows its identities."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority.create(folder / "pki", "plant", utc_now())
        self.authority.issue(Identity.of("broker", "mqtt"), utc_now(), hosts=["localhost", "127.0.0.1"])
        for role, name in IDENTITIES:
            self.issue(role, name)
        self.port = free_port()
        self._broker: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> BrokerAddress:
        return BrokerAddress("localhost", self.port, tls=True)

    def issue(self, role: str, name: str, now: datetime | None = None, days: int = 30) -> Credentials:
        folder = self.authority.issue(Identity.of(role, name), now or utc_now(), days)
        return self.credentials(folder)

    @staticmethod
    def credentials(folder: Path) -> Credentials:
        found = Credentials.of(folder, None, None, None)
        assert found is not None
        return found

    def of(self, role: str, name: str) -> Credentials:
        return self.credentials(self.authority.folder / role / name)

    def configure(self) -> None:
        config = SiteBroker("127.0.0.1", self.port, user=getpass.getuser())
        write_site(self.authority, self.folder / "broker", config, utc_now())

    @contextlib.contextmanager
    def running(self) -> Iterator[Site]:
        binary = mosquitto.find_mosquitto()
        assert binary is not None
        self.configure()
        log = (self.folder / "broker.log").open("ab")
        broker = children.spawn([binary, "-c", str(self.folder / "broker" / CONFIGURATION)], stdout=log, stderr=log)
        self._broker = broker
        try:
            deadline = time.monotonic() + 20
            while not self._serves():
                assert broker.poll() is None, self.log()
                assert time.monotonic() < deadline, self.log()
                time.sleep(0.05)
            yield self
        finally:
            children.stop(broker, 5)
            log.close()

    def _serves(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.authority.folder / "ca.pem"))
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as link:
                context.wrap_socket(link, server_hostname="localhost").close()
        except OSError:
            return False
        return True

    def reload(self) -> None:
        """What an operator does after `crustwatch pki issue` or `revoke`."""
        self.configure()
        assert self._broker is not None
        self._broker.send_signal(signal.SIGHUP)

    def log(self) -> str:
        return (self.folder / "broker.log").read_text(errors="replace")

    def client(self, credentials: Credentials, client_id: str = "any") -> MqttClient:
        return MqttClient(MqttConfig(self.address, client_id, backoff=QUICK, tls_context=credentials.client_context))


LONG_AGO = timedelta(days=60)
