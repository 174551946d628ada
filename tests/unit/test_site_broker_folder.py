"""`broker config` names the folder that mosquitto could not enter once root has started it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.broker.site import barring_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own are its user's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's mosquitto becomes another user")
@pytest.mark.parametrize("mode", [0o700, 0o711, 0o750])
@pytest.mark.parametrize(("owner", "group"), [("root", "root"), ("root", "nogroup"), ("nobody", "root")])
def test_what_is_said_is_what_the_kernel_does(folder: Path, mode: int, owner: str, group: str) -> None:
    gate = folder / "gate"
    (gate / "broker").mkdir(parents=True)
    gate.chmod(mode)
    shutil.chown(gate, owner, group)
    primary = pwd.getpwnam("nobody").pw_gid
    command = ["ls", "-d", str(gate / "broker")]
    tried = subprocess.run(command, user="nobody", group=primary, extra_groups=[], capture_output=True, check=False)
    assert barring_folder("nobody", gate / "broker") == (None if tried.returncode == 0 else gate)


def test_a_user_that_is_not_here_starts_the_broker_elsewhere(folder: Path) -> None:
    (folder / "gate").mkdir(mode=0o700)
    assert barring_folder("no-such-user", folder / "gate" / "broker") is None
    assert barring_folder("root", folder / "gate" / "broker") is None
