"""The firmware's build: boot2 and UF2 formats, the ready-built default, sizes, and clear errors."""

from __future__ import annotations

import hashlib
import shutil
import struct
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from edge.devices import open_device
from edge.devices.model import DEFAULT_MODEL
from edge.gate.gate_file import load_gate, save_gate
from edge.gate.integer import exponential_table
from firmware_sim.cli import app
from firmware_sim.firmware import PREBUILT
from firmware_sim.firmware.boot2 import BOOT2_BYTES, assembly, boot_crc, seal
from firmware_sim.firmware.build import Sizes, build, measure, model_c
from firmware_sim.firmware.host import build_host_library
from firmware_sim.firmware.speed import measure_speed
from firmware_sim.firmware.uf2 import FAMILY_RP2040, uf2_blocks
from shared.errors import BadInputError, CrustwatchError, DeviceError, MissingPartError

needs_compiler = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed"
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sizes]:
    out = tmp_path_factory.mktemp("firmware")
    return out, build(DEFAULT_MODEL, out)


def flash_image() -> bytes:
    """The ready-built firmware's flash, from its UF2 file."""
    blocks = (PREBUILT / "firmware.uf2").read_bytes()
    return b"".join(blocks[at + 32 : at + 288] for at in range(0, len(blocks), 512))


def test_boot_crc_of_known_values() -> None:
    """CRC-32/MPEG-2: the boot ROM's variant; its check value is of the catalogue of parametrised CRCs."""
    assert boot_crc(b"123456789") == 0x0376E6E7
    assert boot_crc(b"") == 0xFFFFFFFF


def test_boot2_is_padded_and_sealed() -> None:
    sealed = seal(b"\x01\x02")
    assert len(sealed) == BOOT2_BYTES
    assert boot_crc(sealed[:252]) == int.from_bytes(sealed[252:], "little")
    assert assembly(sealed).count("0x") == BOOT2_BYTES
    with pytest.raises(ValueError, match="252"):
        seal(bytes(253))


def test_the_ready_built_flash_begins_with_a_sealed_boot2_and_vectors() -> None:
    image = flash_image()
    assert boot_crc(image[:252]) == int.from_bytes(image[252:256], "little")
    stack, reset = struct.unpack_from("<II", image, 256)
    assert stack == 0x20042000
    assert reset & 1
    assert 0x10000100 < reset < 0x10000000 + len(image)


def test_uf2_blocks() -> None:
    image = bytes(range(256)) + b"tail"
    blocks = uf2_blocks(image)
    assert len(blocks) == 2 * 512
    for number in range(2):
        block = blocks[512 * number : 512 * (number + 1)]
        assert block[:4] == b"UF2\n"
        assert struct.unpack("<8I", block[:32])[2:] == (
            0x2000,
            0x10000000 + 256 * number,
            256,
            number,
            2,
            FAMILY_RP2040,
        )
        assert block[508:] == bytes.fromhex("306fb10a")
        assert block[32:288] == image[256 * number : 256 * number + 256].ljust(256, b"\0")


def test_the_ready_built_firmware_is_of_the_committed_model() -> None:
    digest = hashlib.sha256((DEFAULT_MODEL / "model.tflite").read_bytes()).digest()
    gate = msgspec.json.decode((DEFAULT_MODEL / "gate.json").read_bytes())
    image = flash_image()
    assert digest in image, "rebuild it: crustwatch firmware release"
    assert struct.pack("<256H", *gate["lut"]) in image, "rebuild it: crustwatch firmware release"
    assert struct.pack("<5H", *gate["tau_q15"]) in image, "rebuild it: crustwatch firmware release"
    assert (PREBUILT / "firmware.elf").read_bytes().count(digest) == 1


def test_elf_and_uf2_are_the_same_program() -> None:
    image = np.random.default_rng(5).integers(0, 256, (48, 48, 3), np.uint8)
    found = []
    for name in ("firmware.elf", "firmware.uf2"):
        with open_device(f"emulated:{PREBUILT / name}") as device:
            found.append(device.classify(image))
    assert found[0] == found[1]


@needs_compiler
def test_a_rebuild_behaves_as_the_ready_built_one(built: tuple[Path, Sizes]) -> None:
    rng = np.random.default_rng(6)
    images = rng.integers(0, 256, (5, 48, 48, 3), np.uint8)
    with open_device("emulated") as ours, open_device(f"emulated:{built[0] / 'firmware.elf'}") as fresh:
        assert fresh.hello().firmware == ours.hello().firmware
        for image in images:
            a, b = ours.classify(image), fresh.classify(image)
            assert (a.logits, a.sure, a.reason) == (b.logits, b.sure, b.reason)
            assert b.cycles == pytest.approx(a.cycles, rel=0.05)  # another compiler may be a little better or worse


@needs_compiler
def test_a_build_fits_the_chip_and_repeats_itself(built: tuple[Path, Sizes], tmp_path: Path) -> None:
    out, sizes = built
    assert sizes.ram_bytes < 100 * 1024 + sizes.table_bytes
    assert sizes.flash_bytes < 256 * 1024
    assert 0 < sizes.largest_frame_bytes < 1024
    assert measure(out) == sizes
    build(DEFAULT_MODEL, tmp_path)
    for name in ("firmware.bin", "firmware.uf2"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


@needs_compiler
def test_the_command_prints_the_sizes(built: tuple[Path, Sizes]) -> None:
    out, sizes = built
    shown = CliRunner().invoke(app, ["size", str(out), "--json"])
    assert msgspec.json.decode(shown.stdout) == {"folder": str(out), **msgspec.to_builtins(sizes)}
    shown = CliRunner().invoke(app, ["size", str(out)])
    assert f"{sizes.ram_bytes:,} bytes of 270,336" in shown.stdout


def test_errors_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInputError, match=r"model\.tflite and gate\.json"):
        model_c(tmp_path)
    shutil.copyfile(DEFAULT_MODEL / "model.tflite", tmp_path / "model.tflite")
    (tmp_path / "gate.json").write_text("[]")
    with pytest.raises(BadInputError, match="not a gate file"):
        model_c(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPartError, match="apt install gcc-arm-none-eabi"):
        build(DEFAULT_MODEL, tmp_path / "out")
    with pytest.raises(MissingPartError, match="apt install gcc"):
        build_host_library("", tmp_path / "host")


@pytest.mark.skipif(
    shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler: apt install gcc"
)
def test_a_model_file_that_does_not_compile_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CrustwatchError, match="host build of the firmware failed"):
        build_host_library("this is not C", tmp_path)


def test_the_speed_of_the_ready_built_firmware() -> None:
    shown = CliRunner().invoke(app, ["speed", "--frames", "2", "--json"])
    found = msgspec.json.decode(shown.stdout)
    assert found["frames"] == 2
    assert found["inference_ms"] == pytest.approx(found["cycles_median"] / 125e3, abs=0.001)
    assert found["cycles_per_mac"] <= 10
    with pytest.raises(BadInputError, match="cannot be read"):
        measure_speed(Path("/no/such/model"), None, 1)


def test_a_firmware_of_another_model_is_refused(tmp_path: Path) -> None:
    for name in ("gate.json", "model.tflite"):
        shutil.copyfile(DEFAULT_MODEL / name, tmp_path / name)
    with (tmp_path / "model.tflite").open("ab") as file:
        file.write(bytes(4))  # the same network in another file
    with pytest.raises(BadInputError, match="the firmware runs model"):
        measure_speed(tmp_path, None, 1)
    with pytest.raises(DeviceError, match=r"the board runs model .*crustwatch firmware build --model"):
        open_device("emulated", model=tmp_path)


def test_another_gate_than_the_boards_is_noticed(tmp_path: Path) -> None:
    shutil.copyfile(DEFAULT_MODEL / "model.tflite", tmp_path / "model.tflite")
    gate = load_gate(DEFAULT_MODEL / "gate.json")
    temperature = 3 * gate.temperature
    lut = exponential_table(gate.logit_scale, temperature)
    save_gate(msgspec.structs.replace(gate, temperature=temperature, lut=lut), tmp_path / "gate.json")
    image = np.random.default_rng(8).integers(0, 256, (48, 48, 3), np.uint8)
    with (
        open_device("emulated", model=tmp_path) as device,
        pytest.raises(DeviceError, match="built from another gate"),
    ):
        device.classify(image)
