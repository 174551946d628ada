"""The process that decodes pictures of strangers: `python -m shared.decoder_child`, on a socket as its standard input.

```
request   u32 length of the JPEG | u32 most pixels | JPEG
reply     u8 0 | u32 width | u32 height | RGB bytes          or  u8 1 | u32 length | u32 zero | reason in UTF-8
```
Little-endian. It may take MEMORY_BYTES beyond what it has at its start, CPU_S of processor time for one picture, write
no file, open no further one and no socket, and start no process. Where the kernel lets it, it goes into a user and a
network namespace of its own: it then has no network, and can neither raise its limits nor look into its parent, whoever
started it. It ends when its parent does, as the socket then ends.
"""

from __future__ import annotations

import ctypes
import resource
import socket
import struct
import sys
from pathlib import Path

import numpy as np
from PIL import MpoImagePlugin, TiffImagePlugin  # noqa: F401 - for EXIF and MPF, loaded while files may be opened

from shared.errors import BadInputError
from shared.images import decode_jpeg, encode_jpeg

REQUEST = struct.Struct("<II")
REPLY = struct.Struct("<BII")
MEMORY_BYTES = (
    512 * 1024 * 1024
)  # the largest frame: 48 MB of pixels, twice while they are copied, 96 MB of coefficients
NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS, linux/prctl.h
OWN_NAMESPACES = 0x10000000 | 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET, linux/sched.h
CPU_S = 20  # the largest frame with the most scans takes about 3


def main() -> None:
    """Decode until the socket ends."""
    with socket.socket(fileno=0) as link:
        decode_jpeg(
            encode_jpeg(np.zeros((8, 8, 3), np.uint8))
        )  # loads Pillow's plug-in while files may still be opened
        _limit()
        while (head := receive(link, REQUEST.size)) is not None:
            length, max_pixels = REQUEST.unpack(head)
            data = receive(link, length)
            if data is None:
                return
            _more_time()
            try:
                frame = decode_jpeg(bytes(data), max_pixels)  # uint8 [H, W, 3]
            except BadInputError as error:
                reason = str(error).encode()
                link.sendall(REPLY.pack(1, len(reason), 0) + reason)
            else:
                reply, pixels = REPLY.pack(0, frame.shape[1], frame.shape[0]), frame.data.cast("B")
                sent = link.sendmsg((reply, pixels))  # one call for a small picture
                link.sendall(reply[sent:])
                link.sendall(pixels[max(0, sent - len(reply)) :])


def receive(link: socket.socket, length: int) -> bytearray | None:
    """Exactly `length` bytes; None when the socket ends before."""
    data = bytearray(length)
    at = 0
    while at < length:
        count = link.recv_into(memoryview(data)[at:])
        if not count:
            return None
        at += count
    return data


def _limit() -> None:
    if sys.platform == "linux":
        system = ctypes.CDLL(None)
        system.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        system.unshare(OWN_NAMESPACES)  # refused by some kernels and containers; the limits below hold without
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    if pages is not None:
        most = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # has no effect on root
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))  # those that are open stay open


def _more_time() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
