"""What is in a firmware file: `crustwatch emu info`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from firmware_sim.rp2040.boot import BOOT2_BYTES, boot2_crc, choose_start, has_boot2
from firmware_sim.rp2040.image import Image, load_image
from firmware_sim.rp2040.layout import FLASH_BASE, FLASH_SIZE, SRAM_BASE, SRAM_SIZE
from firmware_sim.rp2040.symbols import Section, Symbol, Symbols
from shared.errors import BadInputError

EXCEPTIONS = {1: "Reset", 2: "NMI", 3: "HardFault", 11: "SVCall", 14: "PendSV", 15: "SysTick"}
# RP2040 datasheet 2.3.2
INTERRUPTS = (
    *(f"TIMER_IRQ_{i}" for i in range(4)),
    "PWM_IRQ_WRAP",
    "USBCTRL_IRQ",
    "XIP_IRQ",
    *("PIO0_IRQ_0", "PIO0_IRQ_1", "PIO1_IRQ_0", "PIO1_IRQ_1", "DMA_IRQ_0", "DMA_IRQ_1"),
    *("IO_IRQ_BANK0", "IO_IRQ_QSPI", "SIO_IRQ_PROC0", "SIO_IRQ_PROC1", "CLOCKS_IRQ", "SPI0_IRQ", "SPI1_IRQ"),
    *("UART0_IRQ", "UART1_IRQ", "ADC_IRQ_FIFO", "I2C0_IRQ", "I2C1_IRQ", "RTC_IRQ"),
)
COMMON = 4  # vectors with one target from which on they are counted, not listed
VECTORS = 16 + len(INTERRUPTS)


def vector_name(number: int) -> str:
    """What an exception number stands for."""
    return INTERRUPTS[number - 16] if number >= 16 else EXCEPTIONS.get(number, f"exception {number}")


def vectors(image: Image, symbols: Symbols, table: int) -> list[dict[str, Any]]:
    """Vectors that are set, by exception number."""
    found = []
    for number in range(1, VECTORS):
        if image.holds(table + 4 * number, 4) and (target := image.word(table + 4 * number)):
            found.append(
                {
                    "number": number,
                    "name": vector_name(number),
                    "address": target & ~1,
                    "symbol": symbols.describe(target & ~1),
                }
            )
    return found


def _in(address: int, base: int, size: int) -> bool:
    return base <= address < base + size


def _use(image: Image, sections: list[Section]) -> dict[str, int]:
    """Bytes of flash that the file fills, and of SRAM that it fills or reserves; copied data counts in both."""
    flash = sum(len(data) for start, data in image.chunks if _in(start, FLASH_BASE, FLASH_SIZE))
    loaded = sum(len(data) for start, data in image.chunks if _in(start, SRAM_BASE, SRAM_SIZE))
    reserved = sum(s.size for s in sections if s.kind != "debug" and _in(s.address, SRAM_BASE, SRAM_SIZE))
    return {"flash": flash, "flash_of": FLASH_SIZE, "sram": max(loaded, reserved), "sram_of": SRAM_SIZE}


def _symbol(symbol: Symbol) -> dict[str, Any]:
    memory = "flash" if _in(symbol.address, FLASH_BASE, FLASH_SIZE) else "sram"
    return {
        "name": symbol.name,
        "address": symbol.address,
        "size": symbol.size,
        "kind": symbol.kind,
        "section": symbol.section,
        "memory": memory,
    }


def describe_file(path: Path) -> dict[str, Any]:
    """Everything that `emu info --json` prints. Raises BadInputError."""
    image = load_image(path)
    symbols = Symbols(image.elf)
    boot2: dict[str, Any] = {"present": image.holds(FLASH_BASE, BOOT2_BYTES), "valid": has_boot2(image)}
    if boot2["present"]:
        stage = b"".join(image.word(FLASH_BASE + i).to_bytes(4, "little") for i in range(0, BOOT2_BYTES - 4, 4))
        boot2 |= {"crc_stored": image.word(FLASH_BASE + BOOT2_BYTES - 4), "crc_computed": boot2_crc(stage)}
    start: dict[str, Any] = {}
    try:
        chosen = choose_start(image)
        table = FLASH_BASE + BOOT2_BYTES if chosen.boot2 else chosen.vtor
        start = {"pc": chosen.pc, "sp": chosen.sp, "boot2": chosen.boot2, "vectors": table, "note": chosen.note}
    except BadInputError as error:
        start = {"error": str(error)}
        table = 0
    everything = [*symbols.functions, *symbols.objects]
    return {
        "file": str(path),
        "kind": image.kind,
        "entry": image.entry,
        "build_id": symbols.build_id,
        "debug_lines": len(symbols.lines),
        "start": start,
        "boot2": boot2,
        "chunks": [{"address": at, "size": len(data)} for at, data in image.chunks],
        "sections": [
            {"name": s.name, "address": s.address, "size": s.size, "kind": s.kind}
            for s in symbols.sections
            if s.kind != "debug" and s.size
        ],
        "vectors": vectors(image, symbols, table) if table else [],
        "use": _use(image, symbols.sections),
        "symbols": [_symbol(symbol) for symbol in sorted(everything, key=lambda s: (-s.size, s.address))],
    }


def _percent(part: int, whole: int) -> str:
    return f"{part:>9,} of {whole:,} bytes, {100 * part / whole:.1f} %"


def _vector_lines(found: list[dict[str, Any]]) -> list[str]:
    """One line a vector; those that many share are counted."""
    shared = Counter(vector["address"] for vector in found)
    lines = [
        f"  {v['number']:>3} {v['name']:<14} {v['address']:08x}  {v['symbol']}"
        for v in found
        if shared[v["address"]] < COMMON
    ]
    named = {vector["address"]: vector["symbol"] for vector in found}
    lines += [f"  {n} others {'':<9} {at:08x}  {named[at]}" for at, n in shared.items() if n >= COMMON]
    return lines


def print_info(path: Path, as_json: bool, top: int) -> None:
    """Describe a file, for machines or for people. Raises BadInputError."""
    about = describe_file(path)
    if as_json:
        print(json.dumps(about))  # noqa: T201
        return
    start, boot2, use = about["start"], about["boot2"], about["use"]
    out = [f"{path}: {about['kind']}" + (f", entry 0x{about['entry']:08x}" if about["entry"] is not None else "")]
    if about["build_id"]:
        out.append(f"  build id   {about['build_id']}")
    if boot2["present"]:
        good = "valid" if boot2["valid"] else f"stored {boot2['crc_stored']:08x}, computed {boot2['crc_computed']:08x}"
        out.append(f"  boot2 CRC  {good}")
    if "error" in start:
        out.append(f"  start      {start['error']}")
    else:
        stage = "second stage, then the reset vector" if start["boot2"] else f"pc 0x{start['pc']:08x}"
        out.append(f"  start      {stage}, sp 0x{start['sp']:08x}")
        out += [f"  note       {start['note']}"] if start["note"] else []
    out.append(f"  flash      {_percent(use['flash'], use['flash_of'])}")
    out.append(f"  SRAM       {_percent(use['sram'], use['sram_of'])}, stack and heap without a section not counted")
    out.append(f"  lines      {about['debug_lines']:,} ranges of debug information")
    if about["sections"]:
        out.append("sections")
        out += [f"  {s['address']:08x} {s['size']:>9,}  {s['kind']:<6}  {s['name']}" for s in about["sections"]]
    else:
        out.append("loaded")
        out += [f"  {c['address']:08x} {c['size']:>9,}" for c in about["chunks"]]
    if about["vectors"]:
        out.append("vectors")
        out += _vector_lines(about["vectors"])
    if about["symbols"]:
        shown = about["symbols"][:top]
        out.append(f"largest {len(shown)} of {len(about['symbols'])} symbols")
        out += [f"  {s['size']:>9,}  {s['memory']:<5}  {s['address']:08x}  {s['name']}" for s in shown]
    print("\n".join(line.rstrip() for line in out))  # noqa: T201
