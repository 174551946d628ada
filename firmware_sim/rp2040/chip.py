"""The state arrays of a chip, its blocks served by Python, and the function through which compiled code calls them."""

from __future__ import annotations

import copy
import ctypes
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from firmware_sim.rp2040 import layout
from firmware_sim.rp2040.blocks import uart
from firmware_sim.rp2040.blocks.adc import adc_reset
from firmware_sim.rp2040.blocks.busctrl import Busctrl
from firmware_sim.rp2040.blocks.clocks import Clocks
from firmware_sim.rp2040.blocks.dma import Dma
from firmware_sim.rp2040.blocks.i2c import I2c
from firmware_sim.rp2040.blocks.io_bank0 import BANK0_NAMES, IoBank
from firmware_sim.rp2040.blocks.io_qspi import IoQspi
from firmware_sim.rp2040.blocks.oscillators import ROSC, ROSC_HZ, XOSC, Oscillator, Pll
from firmware_sim.rp2040.blocks.pads import BANK0_BITS, PADS_BANK0, PADS_QSPI, QSPI_BITS, Pads
from firmware_sim.rp2040.blocks.pins import FUNCTION_PWM
from firmware_sim.rp2040.blocks.pio import Pio
from firmware_sim.rp2040.blocks.psm import Psm
from firmware_sim.rp2040.blocks.pwm import pwm_reset
from firmware_sim.rp2040.blocks.resets import Resets
from firmware_sim.rp2040.blocks.rtc import Rtc
from firmware_sim.rp2040.blocks.serial_pins import set_idle_levels
from firmware_sim.rp2040.blocks.spi import Spi
from firmware_sim.rp2040.blocks.storage import STORAGE_BLOCKS, WITHOUT_EFFECT
from firmware_sim.rp2040.blocks.syscfg import Syscfg
from firmware_sim.rp2040.blocks.timer import timer_reset
from firmware_sim.rp2040.blocks.usb import Usb
from firmware_sim.rp2040.blocks.vreg import REGISTERS as VREG
from firmware_sim.rp2040.blocks.vreg import Vreg
from firmware_sim.rp2040.blocks.watchdog import Watchdog
from firmware_sim.rp2040.blocks.xip_ctrl import XipCtrl
from firmware_sim.rp2040.blocks.xip_ssi import XipSsi
from firmware_sim.rp2040.bus import unit_index
from firmware_sim.rp2040.camera import CameraBlock
from firmware_sim.rp2040.decode import OP_REFETCH
from firmware_sim.rp2040.faults import FaultPlan
from firmware_sim.rp2040.flash_chip import FlashChip
from firmware_sim.rp2040.host_call import (
    HOST_DUE,
    HOST_FUNCTION,
    HOST_LOOK,
    HOST_READ,
    HOST_ROM,
    HOST_WRITE,
    UNIT_FUNCTION,
)
from firmware_sim.rp2040.launch import wait_for_vector
from firmware_sim.rp2040.layout import IntArray, Memory, State
from firmware_sim.rp2040.machine import catch_up, set_clocks, update_pins
from firmware_sim.rp2040.memory_map import BLOCKS, block_at
from firmware_sim.rp2040.native.enter import ROWS, drop_pages, drop_rows
from firmware_sim.rp2040.power import PowerModel
from firmware_sim.rp2040.registers import CompiledBlock, RegisterBlock, StoredBlock
from firmware_sim.rp2040.remarks import Remarks
from firmware_sim.rp2040.restart import Restart
from firmware_sim.rp2040.units import connect

# What the world around the chip does: it outlasts a reset of the chip.
OUTSIDE = (
    layout.PIN_STUCK,
    layout.PIN_STUCK_LEVEL,
    layout.CLOCK_PPM,
    layout.GPIO_EXTERNAL,
    layout.PIN_EXTERNAL_MASK,
    layout.PIN_EXTERNAL_UP,
    layout.PIN_EXTERNAL_DOWN,
    layout.PIN_WATCH,
    *(layout.ADC_CODES + channel for channel in range(5)),
    layout.PIN_LOG_LIMIT,
    layout.INTERLEAVING,
)
UART_IRQ = 20  # UART0; UART1 is 21
SYSTEM_EXCEPTIONS = 0xFFFF  # bits of ENABLED that are always set
PAGE_BYTES = 1024  # in which `restore` looks for differences


def _zeros(length: int, kind: type[np.integer[Any]]) -> IntArray:
    """Zeros of shape [length]."""
    return cast(IntArray, np.zeros(length, kind))


@dataclass(frozen=True)
class Snapshot:
    """Everything that a chip remembers."""

    state: State
    memory: Any  # uint8 [MEMORY_BYTES]
    uarts: Any  # uint8 [2 * UART_BUFFER]
    blocks: dict[str, dict[str, Any]]
    warnings: tuple[str, ...]
    reported: frozenset[str]


class Chip:
    """One RP2040 after power-on. `warnings` collects what the model cannot do, each once."""

    def __init__(self) -> None:
        self.S = _zeros(layout.STATE_WORDS, np.int64)
        buffer = _zeros(layout.MEMORY_BYTES, np.uint8)
        buffer[layout.FLASH_OFFSET :] = 0xFF  # erased
        self.mem = Memory(
            bytes=buffer,
            halves=cast(IntArray, buffer.view(np.uint16)),
            words=cast(IntArray, buffer.view(np.uint32)),
            decoded=_zeros(layout.DECODED_ENTRIES, np.int64),
            pages=_zeros(layout.CODE_PAGES + 1, np.uint8),
            natives=_zeros(layout.NATIVE_ROWS * layout.NATIVE_ROW, np.int64),
            breaks=_zeros(layout.MEMORY_BYTES // 2, np.uint8),
            uarts=_zeros(2 * layout.UART_BUFFER, np.uint8),
        )
        self.mem.natives[ROWS] = 1
        self.remarks = Remarks(self.where, self.describe_register)
        self.warnings, self.warn = self.remarks.warnings, self.remarks.warn
        self.held: frozenset[str] = frozenset()  # names of the blocks that RESETS holds
        self.error: BaseException | None = None
        self.serve_rom: Callable[[int, int, int], bool] = lambda core, number, cycle: False  # the board's boot ROM
        self.flash_changed: Callable[[int, int], None] = lambda offset, size: None  # the board's image file
        self._now = 0  # cycle of the last call from compiled code
        self._timed: list[RegisterBlock] = []
        self._units = _zeros(128, np.int64)  # addresses of UNIT_READ and UNIT_WRITE when nothing is held
        self._callback = HOST_FUNCTION(self._host)
        self.S[layout.PIN_EXTERNAL_UP] = 0x3C << layout.QSPI_SHIFT  # the flash's data lines
        self.S[layout.HOST_ADDRESS] = ctypes.cast(self._callback, ctypes.c_void_p).value or 0
        self._make_blocks()
        self.reset()
        self.forget_code()

    def _make_blocks(self) -> None:
        S, report, changed = self.S, self.remarks.unmodelled, self.clocks_changed
        now, warn = lambda: self.now, self.remarks.warn_here
        self.clocks = Clocks(S, report, changed, warn, now)
        self.rosc = Oscillator("ROSC", ROSC, S, report, changed, now, warn)
        self.xosc = Oscillator("XOSC", XOSC, S, report, changed, now, warn)
        self.plls = [Pll(name, S, report, changed, now, warn, self.xosc) for name in ("PLL_SYS", "PLL_USB")]
        self.clocks.sources = {"ROSC": self.rosc, "XOSC": self.xosc}
        self.clocks.sources |= {pll.name: pll for pll in self.plls}
        self.watchdog = Watchdog(S, report, changed, now, warn)
        self.vreg = Vreg("VREG_AND_CHIP_RESET", VREG, S, report)
        self.restart = Restart(self)
        self.rtc = Rtc(S, report, lambda: self.clocks.hz("RTC"), now)
        self.psm = Psm(S, report, self.restart.turn)
        self.resets = Resets(S, report, self.restart.block, self._hold, self.clocks.hz, self.remarks.warn_here)
        self.bank0 = IoBank("IO_BANK0", BANK0_NAMES, S, report, self.pins_changed)
        self.flash = FlashChip(S, self.mem, self.warn, self._flash_changed)
        self.faults = FaultPlan(S, self.mem, self.flash, self.forget_code_at, self._flash_changed, self.warn)
        self.ssi = XipSsi(S, report, self.flash, lambda: self._now)
        self.camera = CameraBlock(S, self.pins_changed, self.warn)
        blocks: list[RegisterBlock] = [
            self.clocks,
            self.rosc,
            self.xosc,
            *self.plls,
            self.watchdog,
            self.resets,
            self.psm,
            self.rtc,
            self.vreg,
            self.flash,
            self.faults,
            self.ssi,
            self.bank0,
            IoQspi(S, report, self.pins_changed, self.ssi),
            Pads("PADS_BANK0", PADS_BANK0, BANK0_BITS, S, report, self.pins_changed),
            Pads("PADS_QSPI", PADS_QSPI, QSPI_BITS, S, report, self.pins_changed),
            XipCtrl("XIP_CTRL", {}, S, report),
            *(I2c(i, S, report, lambda: self.now, self.warn) for i in range(2)),
            *(Spi(i, S, report, lambda: self.now, self.warn) for i in range(2)),
            self.camera,
            Usb(S, self.mem, report, lambda: self.now, lambda: self.clocks.usb_hz),
            Dma("DMA", {}, S, report),
            *(Pio(f"PIO{i}", {}, S, report) for i in range(2)),
        ]
        blocks.append(CompiledBlock("TIMER", S, report, lambda: timer_reset(S, self.now)))
        blocks.append(CompiledBlock("PWM", S, report, lambda: pwm_reset(S, self.now)))
        blocks.append(CompiledBlock("ADC", S, report, lambda: adc_reset(S)))
        for i in range(2):
            base, irq = layout.UART + i * layout.UART_STRIDE, UART_IRQ + i
            blocks.append(CompiledBlock(f"UART{i}", S, report, functools.partial(uart.uart_reset, S, base, irq)))
        for name, registers in STORAGE_BLOCKS.items():
            kind = {"SYSCFG": Syscfg, "BUSCTRL": Busctrl}.get(name, StoredBlock)
            blocks.append(kind(name, registers, S, report, WITHOUT_EFFECT.get(name, {}), warn))
        self.blocks = {block.name: block for block in blocks}
        self.power = PowerModel(S, self.faults, self.blocks["VREG_AND_CHIP_RESET"], lambda: self.plan())
        self.blocks["POWER"] = self.power
        for name in {window.name for window in BLOCKS} - set(self.blocks):
            self.blocks[name] = RegisterBlock(name, {}, S, report)
        self._timed = [
            block for block in self.blocks.values() if type(block).next_event is not RegisterBlock.next_event
        ]
        self._by_base = {window.base: self.blocks[window.name] for window in BLOCKS}

    def _reset_state(self) -> None:
        """The state after power-on, but for what the blocks' own `reset` sets."""
        S = self.S
        outside = [S[word] for word in OUTSIDE]
        S[: layout.ADDRESSES] = 0
        for word, value in zip(OUTSIDE, outside, strict=True):
            S[word] = value
        self.reset_core(0)
        self.reset_core(1)
        S[layout.EVENT_AT : layout.EVENT_AT + layout.EVENT_KINDS] = layout.NEVER
        S[layout.NEXT_EVENT] = S[layout.END] = S[layout.SLICE] = S[layout.HOST_EVENT] = layout.NEVER
        S[layout.UART_STOP_BYTE] = -1
        S[layout.CLK_SYS_HZ] = ROSC_HZ

    def reset_core(self, index: int, *, held: bool = False) -> None:
        """Registers of a core after its reset. Core 1 then waits in the boot ROM; `held`: PSM keeps it off."""
        S, core = self.S, index * layout.CORE_STRIDE
        now = max(int(S[core + layout.CYCLES]), int(S[layout.CYCLES]))
        count = int(S[core + layout.INSTRUCTIONS])
        S[core : core + layout.CORE_STRIDE] = 0
        S[core + layout.CYCLES], S[core + layout.INSTRUCTIONS] = now, count
        S[core + layout.CORE_ID] = index
        S[core + layout.NZ] = 1
        S[core + layout.ENABLED] = SYSTEM_EXCEPTIONS
        S[core + layout.PRIORITY + 2], S[core + layout.PRIORITY + 3] = -2, -1
        S[core + layout.EXECUTION_PRIORITY] = layout.THREAD_PRIORITY
        S[core + layout.SYST_EVENT] = S[core + layout.SWITCH_AT] = layout.NEVER
        S[core + layout.LINE] = -1
        if index == 1:
            wait_for_vector(S, held)
        S[layout.NEXT_EVENT] = 0

    def reset(self) -> None:
        """Power-on reset: everything but the flash; SRAM keeps what it holds, as on the chip."""
        self._now = 0
        self._reset_state()
        for block in self.blocks.values():
            block.reset()
        self.clocks_changed(0)
        set_idle_levels(self.S)
        self.pins_changed(0)

    def link(self) -> None:
        """Make sure that the compiled parts find each other, in this process: before compiled code runs."""
        if self.S[layout.STATE_AT] == 0:
            connect(self.S, self.mem)
            self._units = self.S[layout.UNIT_READ : layout.UNIT_READ + 128].copy()
            self._hold(self.held)

    def forget_code(self) -> None:
        """Decode everything anew: after loading, restoring, or writing flash."""
        drop_rows(self.mem, 0, layout.MEMORY_BYTES)
        self.mem.decoded[:] = 0
        self.mem.decoded[layout.FLASH_GUARD] = OP_REFETCH
        self.mem.decoded[layout.SCRATCH + 1 :] = OP_REFETCH
        self.mem.decoded[layout.SRAM_GUARD] = OP_REFETCH
        self.mem.pages[:] = 0

    def forget_code_at(self, offset: int, size: int) -> None:
        """Decode anew what [offset, offset + size) of the memory holds; an instruction may begin a halfword before."""
        drop_rows(self.mem, offset, offset + size)
        self.mem.decoded[max(0, (offset >> 1) - 1) : (offset + size + 1) >> 1] = 0
        for guard in (layout.FLASH_GUARD, layout.SRAM_GUARD):
            self.mem.decoded[guard] = OP_REFETCH

    def clocks_changed(self, cycle: int) -> None:
        """Take over the frequencies; TIMER and SysTick lose no fraction of a tick."""
        self.power.update(cycle)
        for pll in self.plls:
            pll.refresh(cycle)
        self.clocks.update(cycle)
        tick_hz = self.watchdog.tick_hz(self.clocks.ref_hz)
        self.watchdog.rebase(cycle)
        self.S[layout.CLK_ADC_HZ] = self.clocks.hz("ADC")
        self.rtc.rebase(cycle)
        set_clocks(self.S, self.clocks.sys_hz, self.clocks.peri_hz, tick_hz, cycle)
        self.rtc.changed(cycle)
        self.power.update(cycle)

    @property
    def now(self) -> int:
        """The cycle at which something from outside happens."""
        return max(self._now, int(self.S[layout.CYCLES]))

    def catch_up(self) -> None:
        """Bring what is simulated late up to the present cycle."""
        if self.S[layout.STATE_AT]:
            catch_up(self.S, self.now)

    def pins_changed(self, cycle: int | None = None) -> None:
        """Compute the levels of the pins anew, after a change from outside or by a block served by Python."""
        update_pins(self.S, self.now if cycle is None else cycle)
        self.refresh_pins()
        self.plan()

    def _flash_changed(self, offset: int, size: int) -> None:
        """The flash chip has other bytes at [offset, offset + size)."""
        self.forget_code_at(layout.FLASH_OFFSET + offset, size)
        self.flash_changed(offset, size)

    def flush_cache(self, cycle: int) -> None:
        """Empty the XIP cache, as a write to XIP_CTRL.FLUSH does."""
        self.blocks["XIP_CTRL"].store(4, 1, cycle)

    def release_qspi(self, cycle: int) -> None:
        """Give the flash's chip select back to the XIP block, without override."""
        self.blocks["IO_QSPI"].write("GPIO_QSPI_SS_CTRL", 0, cycle)

    def refresh_pins(self) -> None:
        """Bring up to date what is computed only when somebody looks: DMA, PIO, the levels of PWM."""
        self.catch_up()
        if self.S[layout.PIN_FUNCTION + FUNCTION_PWM]:
            self.link()
            fire = UNIT_FUNCTION(int(self.S[layout.EVENT_FIRE + layout.EVENT_PWM]))
            fire(int(self.S[layout.STATE_AT]), self.now, 0, 0, 0)

    @property
    def reset_pending(self) -> bool:
        """Whether the chip stands where the watchdog or AIRCR resets it."""
        return bool(self.S[layout.EXIT] == layout.EXIT_RESET)

    def warm_reset(self) -> None:
        """Reset by the watchdog, or by AIRCR: what PSM.WDSEL and RESETS.WDSEL select. Time goes on."""
        self.S[layout.EXIT] = layout.EXIT_END
        self.restart.warm()

    def _hold(self, names: frozenset[str]) -> None:
        """These blocks do not answer."""
        self.held = names
        if self.S[layout.STATE_AT]:
            self.S[layout.UNIT_READ : layout.UNIT_READ + 128] = self._units
            for window in BLOCKS:
                if window.name in names:
                    at = unit_index(window.base)
                    self.S[layout.UNIT_READ + at] = self.S[layout.UNIT_WRITE + at] = 0  # Python answers

    def where(self) -> str:
        """PC of the core that accesses a register, for people."""
        core = int(self.S[layout.ACCESS_CORE])
        return ("core 1, " if core else "") + f"pc 0x{int(self.S[core + layout.PC]):08x}"

    def describe_register(self, block: str, offset: int) -> str:
        """Block and register by its datasheet name, or by its offset where it has none."""
        for name, register in self.blocks[block].registers.items():
            if register.offset == offset:
                return f"{block}.{name}"
        return f"{block}+0x{offset:03x}"

    def _host(self, kind: int, address: int, value: int, cycle: int) -> int:
        """Serve a register access of compiled code; -1 faults. Exceptions are kept for `Board.run` to raise."""
        self._now = cycle
        try:
            if kind == HOST_DUE:
                self._serve_due(cycle)
                return 0
            if kind == HOST_ROM:  # address: the core's slice of the state; value: the function
                served = self.serve_rom(address, value, cycle)
                self.plan()
                return 0 if served else -1
            block = self._by_base.get(address & ~0x3FFF)
            if block is None:
                return -1
            offset = address & 0x3FFF
            if block.name in self.held:
                return self._serve_held(block, kind, address, value, cycle)
            if kind in (HOST_READ, HOST_LOOK):
                return block.load(offset, kind == HOST_LOOK)
            block.store(offset, value, cycle)
            self.plan()
        except BaseException as error:
            self.error = error
            self.S[layout.EXIT], self.S[layout.NEXT_EVENT] = layout.EXIT_HOST, cycle
        return 0

    def _serve_held(self, block: RegisterBlock, kind: int, address: int, value: int, cycle: int) -> int:
        """An access to a block in reset: 0, unless `resets` is lenient."""
        answers = self.resets.lenient if kind == HOST_LOOK else self.resets.touch(block.name)
        if not answers:
            return 0
        at = unit_index(address) + (64 if kind == HOST_WRITE else 0)
        if self._units[at]:
            argument = value if kind == HOST_WRITE else int(kind == HOST_LOOK)
            unit = UNIT_FUNCTION(int(self._units[at]))
            return int(unit(int(self.S[layout.STATE_AT]), address, argument, cycle, 0))
        if kind == HOST_WRITE:
            block.store(address & 0x3FFF, value, cycle)
            self.plan()
            return 0
        return block.load(address & 0x3FFF, kind == HOST_LOOK)

    def plan(self) -> None:
        """Schedule the blocks served by Python."""
        events = (block.next_event() for block in self._timed)
        self.S[layout.HOST_EVENT] = min((event for event in events if event is not None), default=layout.NEVER)
        self.S[layout.NEXT_EVENT] = min(self.S[layout.NEXT_EVENT], self.S[layout.HOST_EVENT])

    def _serve_due(self, cycle: int) -> None:
        for block in self._timed:
            block.due(cycle)
        self.plan()

    def describe(self, address: int) -> str:
        """Block and offset of a register address, for people."""
        block = block_at(address)
        if block is None:
            return f"0x{address:08x}"
        text = self.describe_register(block.name, (address - block.base) & 0xFFF)
        alias = ("", " (XOR)", " (SET)", " (CLR)")[(address - block.base) >> 12 & 3]
        return text + alias

    def snapshot(self) -> Snapshot:
        """Copy everything."""
        blocks = {name: copy.deepcopy(_memory_of(block)) for name, block in self.blocks.items()}
        reported = frozenset(self.remarks.reported)
        return Snapshot(
            self.S.copy(), self.mem.bytes.copy(), self.mem.uarts.copy(), blocks, tuple(self.warnings), reported
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this or another chip."""
        self.S[: layout.ADDRESSES] = snapshot.state[: layout.ADDRESSES]
        self._set_memory(snapshot.memory)
        self.mem.uarts[:] = snapshot.uarts
        for name, memory in snapshot.blocks.items():
            self.blocks[name].__dict__.update(copy.deepcopy(memory))
        self.warnings[:], self.remarks.reported = list(snapshot.warnings), set(snapshot.reported)
        self.resets.apply()

    def _set_memory(self, memory: Any) -> None:
        """Take over uint8 [MEMORY_BYTES]; only what differs is decoded anew, as clearing the whole table takes 5 ms."""
        differs = self.mem.bytes.view(np.uint64) != memory.view(np.uint64)
        pages = np.flatnonzero(differs.reshape(-1, PAGE_BYTES // 8).any(axis=1))
        if not len(pages):
            return
        self.mem.bytes.reshape(-1, PAGE_BYTES)[pages] = memory.reshape(-1, PAGE_BYTES)[pages]
        drop_pages(self.mem, pages, PAGE_BYTES)
        decoded = self.mem.decoded
        decoded[: layout.FLASH_GUARD].reshape(-1, PAGE_BYTES // 2)[pages] = 0
        decoded[np.maximum(pages * (PAGE_BYTES // 2) - 1, 0)] = 0  # a 32-bit instruction may begin before the page
        decoded[[layout.FLASH_GUARD, layout.SRAM_GUARD]] = OP_REFETCH


def _memory_of(block: RegisterBlock) -> dict[str, Any]:
    """The attributes of a block that change while it runs."""
    return {key: value for key, value in vars(block).items() if key in block.remembers}
