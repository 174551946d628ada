"""PIO: random programs against a plain interpreter, well-known programs by their timing at the pins, registers."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pio_model import Machine
from register_scene import Registers

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.blocks import pio_layout

PIO0, PIO1 = 0x50200000, 0x50300000
CTRL, FSTAT, FDEBUG, FLEVEL, TXF0, RXF0, IRQ, IRQ_FORCE = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x20, 0x30, 0x34
INPUT_SYNC_BYPASS, DBG_PADOUT, DBG_PADOE, DBG_CFGINFO, INSTR_MEM0 = 0x38, 0x3C, 0x40, 0x44, 0x48
CLKDIV, EXECCTRL, SHIFTCTRL, ADDR, INSTR, PINCTRL = 0xC8, 0xCC, 0xD0, 0xD4, 0xD8, 0xDC
INTR, IRQ0_INTE, IRQ0_INTF, IRQ0_INTS, IRQ1_INTE, IRQ1_INTS = 0x128, 0x12C, 0x130, 0x134, 0x138, 0x140
WORD = 0xFFFFFFFF
NOP = 0xA042  # mov y, y
PINS = (1 << 30) - 1


def fresh(registers: Registers, block: int = PIO0) -> None:
    """Reset a block and give its reset state back, as RESETS does."""
    registers.board.chip.blocks["PIO1" if block == PIO1 else "PIO0"].reset()


def start(registers: Registers, base: int, sm: int, program: list[int], **words: int) -> None:
    """Load a program from address 0, configure a machine and start it with a restarted clock divider."""
    for i, word in enumerate(program):
        registers.write(base + INSTR_MEM0 + 4 * i, word)
    configure(registers, base, sm, wrap=(0, len(program) - 1), **words)
    registers.write(base + CTRL + 0x2000, 0x111 << sm)


def configure(registers: Registers, base: int, sm: int, wrap: tuple[int, int], **words: int) -> None:
    """CLKDIV, EXECCTRL (without the wrap), SHIFTCTRL and PINCTRL; the program counter at the wrap's target."""
    at = base + 0x18 * sm
    registers.write(at + CLKDIV, words.get("clkdiv", 1 << 16))
    registers.write(at + EXECCTRL, words.get("execctrl", 0) | wrap[1] << 12 | wrap[0] << 7)
    registers.write(at + SHIFTCTRL, words.get("shiftctrl", 3 << 18))
    registers.write(at + PINCTRL, words.get("pinctrl", 0))
    registers.write(at + INSTR, wrap[0])  # jmp


def random_machine(rng: random.Random) -> Machine:
    """Any program; a configuration without reserved values."""
    kinds = rng.choices(range(8), k=4)
    program = [rng.choice(kinds + list(range(8))) << 13 | rng.getrandbits(13) for _ in range(32)]
    if rng.random() < 0.7:  # fewer delays, and pushes and pulls that are defined
        program = [word & 0xE3FF | (rng.getrandbits(2) << 8) for word in program]
    program = [word & 0xFFE0 if word >> 13 == 4 else word for word in program]
    top, bottom = rng.randrange(32), rng.randrange(32)
    joined = rng.choice([0, 0, 1, 2])
    thresholds = rng.choice([0, 8, 1, rng.randrange(32)]) << 25 | rng.choice([0, 8, 1, rng.randrange(32)]) << 20
    side_enable = rng.getrandbits(1)
    side = rng.randrange(side_enable, 6)
    return Machine(
        program,
        execctrl=top << 12 | bottom << 7 | rng.getrandbits(5) << 24 | side_enable << 30 | rng.getrandbits(1) << 29
        | rng.getrandbits(1) << 4 | rng.randrange(9),
        shiftctrl=joined << 30 | thresholds | rng.getrandbits(4) << 16,
        pinctrl=side << 29 | rng.randrange(6) << 26 | rng.randrange(33) << 20 | rng.getrandbits(20),
        number=rng.randrange(4),
        divider=rng.choice([256, 256, 512, 300, 256 + rng.randrange(2048)]),
    )  # fmt: skip


def state_of(S: layout.State, model: Machine) -> dict[str, Any]:
    """What the compiled machine holds, by the names of the model."""
    p = layout.PIO
    m = p + pio_layout.MACHINE + model.number * pio_layout.MACHINE_STRIDE
    words = {name: int(S[m + getattr(pio_layout, name.upper())]) for name in ("pc", "x", "y", "isr", "osr")}
    words |= {name: int(S[m + getattr(pio_layout, name.upper())]) for name in ("isr_count", "osr_count")}
    fifos = {}
    for name, fifo, head, count in (("tx", 32, 22, 23), ("rx", 40, 24, 25)):
        fifos[name] = [int(S[m + fifo + (int(S[m + head]) + i) % 8]) for i in range(int(S[m + count]))]
    pins = {"out": int(S[layout.PIN_OUT + 6]), "oe": int(S[layout.PIN_OE + 6])}
    return refilled({**words, **fifos, **pins, "flags": int(S[p + pio_layout.IRQ])}, model)


def model_state(model: Machine) -> dict[str, Any]:
    names = ("pc", "x", "y", "isr", "osr", "isr_count", "osr_count", "tx", "rx", "out", "oe", "flags")
    return refilled({name: getattr(model, name) for name in names}, model)


def refilled(state: dict[str, Any], model: Machine) -> dict[str, Any]:
    """With autopull done: where no OUT comes first, the compiled machine does it some cycles before its next tick."""
    if model.autopull and state["osr_count"] >= model.pull_threshold and state["tx"]:
        return state | {"osr": state["tx"][0], "tx": state["tx"][1:], "osr_count": 0}
    return state


REGISTERS = Registers()


@settings(max_examples=250, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_random_programs_run_as_the_plain_interpreter_says(seed: int) -> None:
    """Every register, FIFO, flag and pin after each of many short runs, with data, flags and pins coming in between."""
    rng, registers = random.Random(seed), REGISTERS
    fresh(registers)
    model = random_machine(rng)
    base, sm = PIO0 + 0x18 * model.number, model.number
    levels = rng.getrandbits(30)
    registers.drive(levels)
    registers.until(registers.now + 10)
    for i, word in enumerate(model.program):
        registers.write(PIO0 + INSTR_MEM0 + 4 * i, word)
    registers.write(base + CLKDIV, model.divider << 8)
    registers.write(base + EXECCTRL, model.execctrl)
    registers.write(base + SHIFTCTRL, model.shiftctrl)
    registers.write(base + PINCTRL, model.pinctrl)
    model.inputs[0] = levels
    registers.write(PIO0 + CTRL, 0x101 << sm)
    first = registers.now + (model.divider >> 8)
    ticks = 0
    for _ in range(rng.randrange(5, 60)):
        end = registers.now + rng.choice([1, 2, 3, 5, 17, 64])
        while first + (ticks * model.divider >> 8) <= end:
            model.cycle(first + (ticks * model.divider >> 8))
            ticks += 1
        registers.until(end)
        assert state_of(registers.S, model) == model_state(model), f"cycle {end - first}"
        for action in rng.choices(range(8), k=rng.randrange(3)):
            value = rng.choice([rng.getrandbits(32), rng.getrandbits(16), rng.getrandbits(3)])
            if action == 0 and len(model.tx) < model.tx_depth:
                registers.write(PIO0 + TXF0 + 4 * sm, value)
                model.tx.append(value)
            elif action == 1 and model.rx:
                assert registers.read(PIO0 + RXF0 + 4 * sm) == model.rx.pop(0)
            elif action == 2:
                registers.write(PIO0 + IRQ, value & 0xFF)
                model.flags &= ~value
            elif action == 3:
                registers.write(PIO0 + IRQ_FORCE, value & 0xFF)
                model.flags |= value & 0xFF
            elif action == 4:
                model.inputs[registers.now] = value & PINS
                registers.drive(value)
    assert registers.read(PIO0 + FDEBUG) == model.fdebug
