"""Pictures of strangers in a child: the same pixels, and whatever a decoder does costs one picture."""

from __future__ import annotations

import io
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.errors import BadInputError
from shared.images import decode_jpeg, encode_jpeg
from shared.limited_decoder import LimitedDecoder

RNG = np.random.default_rng(5)
SMALL = encode_jpeg(RNG.integers(0, 256, (60, 80, 3), np.uint8))


def child(body: str) -> tuple[str, ...]:
    """A child that does `body` for its first picture."""
    head = "import socket, struct, sys\nfrom shared import decoder_child as d\nlink = socket.socket(fileno=0)\n"
    first = "length, most = d.REQUEST.unpack(d.receive(link, 8)); data = d.receive(link, length); d._limit()\n"
    return (sys.executable, "-c", head + first + body)


def test_the_pixels_are_those_of_the_decoder() -> None:
    with LimitedDecoder() as decoder:
        for shape in ((60, 80, 3), (1, 1, 3), (700, 900, 3)):
            jpeg = encode_jpeg(RNG.integers(0, 256, shape, np.uint8))
            assert np.array_equal(decoder.decode(jpeg), decode_jpeg(jpeg))
        with pytest.raises(BadInputError, match="more than the 100 allowed"):
            decoder.decode(SMALL, 100)
        with pytest.raises(BadInputError, match="behind the end"):
            decoder.decode(SMALL + b"PK")
        assert decoder.decode(SMALL).shape == (60, 80, 3)
        assert decoder.ended == 0


def test_a_camera_may_say_how_it_was_held() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6  # orientation: a quarter turn clockwise
    jpeg = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (20, 30, 3), np.uint8)).save(jpeg, "JPEG", exif=turned.tobytes())
    with LimitedDecoder() as decoder:  # Pillow loads its reader of EXIF late, when the child may open nothing more
        found = decoder.decode(jpeg.getvalue())
    assert found.shape == (30, 20, 3)
    assert np.array_equal(found, decode_jpeg(jpeg.getvalue()))


def test_damaged_pictures_get_the_decoders_reason_and_the_child_lives_on() -> None:
    at = SMALL.index(b"\xff\xc4") + 5  # DHT: marker, length, class; then how many codes have 1, 2, ... 16 bits
    damaged = SMALL[:at] + bytes(16 * [255]) + SMALL[at + 16 :]
    with LimitedDecoder() as decoder:
        decoder.decode(SMALL)
        pid = decoder.pid
        for _ in range(20):
            with pytest.raises(BadInputError, match="damaged or cut short"):
                decoder.decode(damaged)
        assert decoder.pid == pid


@pytest.mark.parametrize(
    "body",
    [
        "import os; os.abort()",  # a crash
        "bytearray(2 * 1024**3)",  # too much memory
        "open('/dev/null')",  # a file
        "link.sendall(d.REPLY.pack(0, 60_000, 60_000))",  # more pixels than asked for
        "import resource; d.CPU_S = 0; d._more_time()\nwhile True: pass",  # too long
    ],
)
def test_whatever_a_child_does_costs_one_picture(body: str) -> None:
    with LimitedDecoder(child(body)) as decoder:
        with pytest.raises(BadInputError, match="it was ended"):
            decoder.decode(SMALL)
        assert (decoder.ended, decoder.pid) == (1, None)
        decoder._command = LimitedDecoder()._command
        assert decoder.decode(SMALL).shape == (60, 80, 3)


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.limited_decoder.PATIENCE_S", 0.5)
    with (
        LimitedDecoder((sys.executable, "-c", "import time; time.sleep(600)")) as decoder,
        pytest.raises(BadInputError, match="it was ended"),
    ):
        decoder.decode(SMALL)


def test_the_child_is_limited_and_knows_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRUSTWATCH_BROKER", "mqtts://worker:hunter2@broker")
    with LimitedDecoder() as decoder:
        decoder.decode(SMALL)
        limits = Path(f"/proc/{decoder.pid}/limits").read_text()
        for name in ("Max file size", "Max open files", "Max core file size"):
            [line] = [line for line in limits.splitlines() if line.startswith(name)]
            assert line.split()[3 if name != "Max core file size" else 4] == "0", line
        assert "unlimited" not in next(line for line in limits.splitlines() if line.startswith("Max address space"))
        assert b"hunter2" not in Path(f"/proc/{decoder.pid}/environ").read_bytes()


def may_unshare() -> bool:
    """Whether this kernel and container let a process without rights make namespaces."""
    script = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x50000000) != 0)"
    return sys.platform == "linux" and subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has namespaces")
def test_the_child_gains_no_rights_and_has_no_network_where_the_kernel_allows_it() -> None:
    with LimitedDecoder() as decoder:
        decoder.decode(SMALL)
        status = Path(f"/proc/{decoder.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        if may_unshare():
            for kind in ("net", "user"):
                assert os.readlink(f"/proc/{decoder.pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
            devices = Path(f"/proc/{decoder.pid}/net/dev").read_text().splitlines()[2:]
            assert [line.split(":")[0].strip() for line in devices] == ["lo"]


def test_the_child_ends_with_its_parent() -> None:
    script = (
        "from shared.limited_decoder import LimitedDecoder\n"
        "from shared.images import encode_jpeg\nimport numpy as np, time\n"
        "decoder = LimitedDecoder()\n"
        "decoder.decode(encode_jpeg(np.zeros((8, 8, 3), np.uint8)))\n"
        "print(decoder.pid, flush=True)\ntime.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(60, parent.kill)
    watchdog.start()
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    watchdog.cancel()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").exists():
        assert time.monotonic() < deadline, "the decoder outlived its parent"
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.02)


def test_the_largest_frame_with_the_most_scans_fits_the_limits() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (4000, 4000), "tan").save(buffer, "JPEG", progressive=True)
    assert struct.unpack(">H", buffer.getvalue()[:2]) == (0xFFD8,)
    with LimitedDecoder() as decoder:
        assert decoder.decode(buffer.getvalue()).shape == (4000, 4000, 3)
        assert decoder.ended == 0
