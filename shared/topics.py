"""The MQTT topics of crustwatch, version 1 (docs/topics.md lists them for dashboards).

```
cw/1/<site>/<gateway>/status              online or offline, retained, will
cw/1/<site>/<gateway>/stats               GatewayStats, retained
cw/1/<site>/<gateway>/<camera>/verdict    LineVerdict, retained
cw/1/<site>/<gateway>/<camera>/event      LineVerdict, each state change, not retained
cw/1/<site>/<gateway>/<camera>/snapshot   JPEG of at most 30 KB, retained
cw/1/<site>/<gateway>/<setting>/set|state settings and their present values
cw/1/req/<task>/<priority>/<site>/<gateway>   clip, QoS 1
cw/1/rsp/<site>/<gateway>                     Response, QoS 1
cw/1/worker/<id>/status                       WorkerStatus, retained, will
homeassistant/device/crustwatch_<site>_<gateway>/config   discovery, retained
```
"""

from __future__ import annotations

import re
from typing import NamedTuple

from shared.errors import BadInputError

ROOT = "cw/1"
RESERVED = frozenset({"req", "rsp", "worker"})  # second-level words that no site may be called
RESERVED_GATEWAYS = frozenset({"status", "stats"})  # cw/1/rsp/<site>/status would pass for a state topic
DISCOVERY_PREFIX = "homeassistant"  # its default
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def check_name(name: str, what: str) -> str:
    """`name` when it can be one level of a topic (letters, digits, - and _, at most 64), else BadInputError."""
    if not _NAME.fullmatch(name):
        raise BadInputError(f"{what} {name[:80]!r}: letters, digits, - and _ only, 1 to 64 characters")
    return name


class Line(NamedTuple):
    """One gateway at one site: everything it publishes stands below `prefix`."""

    site: str
    gateway: str

    @classmethod
    def of(cls, site: str, gateway: str) -> Line:
        """A line with checked names. Raises BadInputError."""
        if site in RESERVED:
            raise BadInputError(f"site {site!r} is a reserved word: {', '.join(sorted(RESERVED))}")
        if gateway in RESERVED_GATEWAYS:
            raise BadInputError(f"gateway {gateway!r} is a reserved word: {', '.join(sorted(RESERVED_GATEWAYS))}")
        return cls(check_name(site, "site"), check_name(gateway, "gateway"))

    @property
    def prefix(self) -> str:
        """`cw/1/<site>/<gateway>`."""
        return f"{ROOT}/{self.site}/{self.gateway}"

    @property
    def status(self) -> str:
        """GatewayStatus, retained, will."""
        return f"{self.prefix}/status"

    @property
    def stats(self) -> str:
        """GatewayStats, retained."""
        return f"{self.prefix}/stats"

    def verdict(self, camera: str) -> str:
        """LineVerdict of a camera, retained."""
        return f"{self.prefix}/{check_name(camera, 'camera')}/verdict"

    def event(self, camera: str) -> str:
        """LineVerdict of a camera at each change, not retained."""
        return f"{self.prefix}/{check_name(camera, 'camera')}/event"

    def snapshot(self, camera: str) -> str:
        """The last item's JPEG, retained."""
        return f"{self.prefix}/{check_name(camera, 'camera')}/snapshot"

    def setting(self, name: str) -> tuple[str, str]:
        """The topics that set a setting and that hold its present value."""
        base = f"{self.prefix}/{check_name(name, 'setting')}"
        return f"{base}/set", f"{base}/state"

    def request(self, task: str, priority: str) -> str:
        """Where this gateway sends its clips."""
        return f"{ROOT}/req/{check_name(task, 'task')}/{check_name(priority, 'priority')}/{self.site}/{self.gateway}"

    @property
    def response(self) -> str:
        """Where workers answer this gateway."""
        return f"{ROOT}/rsp/{self.site}/{self.gateway}"

    @property
    def object_id(self) -> str:
        """Home Assistant's name for this line."""
        return f"crustwatch_{self.site}_{self.gateway}"

    def discovery(self, prefix: str = DISCOVERY_PREFIX) -> str:
        """Home Assistant's discovery message, retained."""
        return f"{prefix}/device/{self.object_id}/config"


class RequestTopic(NamedTuple):
    """The parts of a request's topic."""

    task: str
    priority: str
    line: Line


def parse_request(topic: str) -> RequestTopic:
    """Take a request's topic apart. Raises BadInputError when it is none."""
    parts = topic.split("/")
    if len(parts) != 7 or parts[:3] != ["cw", "1", "req"]:
        raise BadInputError(f"not a request topic: {topic[:120]!r}")
    _, _, _, task, priority, site, gateway = parts
    return RequestTopic(check_name(task, "task"), check_name(priority, "priority"), Line.of(site, gateway))


def shared_requests(task: str, group: str = "workers") -> str:
    """The shared subscription (MQTT 5, 4.8.2) by which workers share a task's requests."""
    return f"$share/{group}/{ROOT}/req/{check_name(task, 'task')}/+/+/+"


def worker_status(worker: str) -> str:
    """WorkerStatus, retained, will."""
    return f"{ROOT}/worker/{check_name(worker, 'worker')}/status"


STATE_FILTERS = (
    f"{ROOT}/+/+/status",  # gateways and workers
    f"{ROOT}/+/+/stats",
    f"{ROOT}/+/+/+/verdict",
    f"{ROOT}/+/+/+/event",
    f"{ROOT}/+/+/+/snapshot",
    f"{ROOT}/+/+/+/state",
)
"""What dashboards read: everything but requests and answers."""


def worker_status_filter() -> str:
    """The subscription to the status of all workers."""
    return f"{ROOT}/worker/+/status"
