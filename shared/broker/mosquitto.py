"""Configuration of a mosquitto child: loopback, no Nagle, persistence with a short autosave."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from shared.clip import MAX_CLIP_BYTES

AUTOSAVE_S = 5  # mosquitto's default of 1800 s loses half an hour of retained state on kill -9
MAX_PACKET_BYTES = MAX_CLIP_BYTES + 64 * 1024  # a clip, its topic and its properties
MAX_QUEUED_BYTES = 256 * 1024 * 1024  # of one client that is slow to take its messages


def find_mosquitto() -> str | None:
    """The path of the mosquitto binary, None without one. Debian keeps it in /usr/sbin, off a user's PATH."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/sbin")


def configuration(host: str, port: int, folder: Path) -> str:
    """The text of mosquitto.conf (mosquitto.conf(5), 2.0) for one loopback listener without passwords."""
    # Started by root, mosquitto would become the user `mosquitto`, who cannot write into the folder, and the kernel
    # would forget to end it with its parent (prctl(2): the setting is cleared by a change of user).
    user = ["user root"] if os.geteuid() == 0 else []
    return "\n".join(
        (
            f"listener {port} {host}",
            "allow_anonymous true",
            "set_tcp_nodelay true",
            "persistence true",
            f"persistence_location {folder}/",
            f"autosave_interval {AUTOSAVE_S}",
            f"max_packet_size {MAX_PACKET_BYTES}",
            "max_inflight_messages 64",
            "max_queued_messages 10000",
            f"max_queued_bytes {MAX_QUEUED_BYTES}",
            *user,
            "log_dest stderr",
            "log_type error",
            "log_type warning",
            "",
        )
    )


def command(binary: str, host: str, port: int, folder: Path) -> list[str]:
    """Write the configuration into `folder` and give the arguments that start mosquitto with it."""
    path = folder / "mosquitto.conf"
    path.write_text(configuration(host, port, folder), encoding="utf-8")
    return [binary, "-c", str(path)]
