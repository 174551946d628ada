"""RESETS: which subsystems are held in reset. RP2040 datasheet 2.14.

A subsystem that is held does not answer: reads give 0, writes are lost. A file that starts without a second stage, as
under a debugger, is treated more kindly (`lenient`): the first access releases the subsystem, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.rp2040.layout import State
from firmware_sim.rp2040.registers import Register, RegisterBlock

# Blocks of memory_map.py by bit of RESET. JTAG has no registers.
SUBSYSTEMS = (
    *("ADC", "BUSCTRL", "DMA", "I2C0", "I2C1", "IO_BANK0", "IO_QSPI", "JTAG", "PADS_BANK0", "PADS_QSPI"),
    *("PIO0", "PIO1", "PLL_SYS", "PLL_USB", "PWM", "RTC", "SPI0", "SPI1", "SYSCFG", "SYSINFO", "TBMAN"),
    *("TIMER", "UART0", "UART1", "USBCTRL_REGS"),
)
ALL = (1 << len(SUBSYSTEMS)) - 1
REGISTERS = {"RESET": Register(0, ALL, ALL), "WDSEL": Register(4, 0, ALL), "RESET_DONE": Register(8, 0, 0)}
BY_BOOT_ROM = ("IO_QSPI", "PADS_QSPI", "TIMER")  # released when the second stage begins
# RESET_DONE comes through these clocks: the registers behind them do not leave reset without.
CLOCK_OF = {"UART0": "PERI", "UART1": "PERI", "SPI0": "PERI", "SPI1": "PERI", "ADC": "ADC", "RTC": "RTC"}
CLOCK_OF |= {"USBCTRL_REGS": "USB"}


class Resets(RegisterBlock):
    """`reset_block(name)` puts a block's registers back; `held(names)` takes over which ones do not answer.

    `hz(clock)` is the frequency of a clock generator, `warn(text)` tells the user once, with the PC.
    """

    remembers = ("values", "lenient")
    subsystems = SUBSYSTEMS

    def __init__(
        self,
        S: State,
        report: Callable[[str, int], None],
        reset_block: Callable[[str], None],
        held: Callable[[frozenset[str]], None],
        hz: Callable[[str], int],
        warn: Callable[[str], None],
    ) -> None:
        self._reset_block = reset_block
        self._held = held
        self._hz = hz
        self._warn = warn
        self.lenient = False
        super().__init__("RESETS", REGISTERS, S, report)

    def reset(self) -> None:
        """Everything is held."""
        super().reset()
        self.apply()

    def apply(self) -> None:
        """Tell which blocks do not answer."""
        bits = self.values["RESET"]
        self._held(frozenset(name for bit, name in enumerate(SUBSYSTEMS) if bits >> bit & 1))

    def release(self, *names: str) -> None:
        """Let subsystems out of reset."""
        for name in names:
            self.values["RESET"] &= ~(1 << SUBSYSTEMS.index(name))
        self.apply()

    def after_boot_rom(self, lenient: bool) -> None:
        """The state that firmware meets."""
        self.lenient = lenient
        self.release(*BY_BOOT_ROM)

    def touch(self, name: str) -> bool:
        """Something accesses a held block: whether it answers nevertheless."""
        if not self.lenient:
            self._warn(f"{name} is held by RESETS.RESET: it reads 0 and ignores writes")
            return False
        self._warn(f"{name} was used while RESETS.RESET holds it: released here, a board would ignore it")
        self.release(name)
        return True

    def read(self, name: str, look: bool) -> int:
        """RESET_DONE is the complement of RESET."""
        if name != "RESET_DONE":
            return self.values[name]
        done = ~self.values["RESET"] & ALL
        for bit, subsystem in enumerate(SUBSYSTEMS):
            clock = CLOCK_OF.get(subsystem)
            if not look and clock and done >> bit & 1 and self._hz(clock) == 0:
                stands = f"while clk_{clock.lower()} stands still"
                self._warn(f"RESETS.RESET_DONE of {subsystem} was read {stands}: it may never be set")
        return done

    def write(self, name: str, value: int, cycle: int) -> None:
        """Newly held subsystems lose their state."""
        before = self.values["RESET"]
        self.values[name] = value
        if name == "RESET":
            for bit, subsystem in enumerate(SUBSYSTEMS):
                if (value & ~before) >> bit & 1:
                    self._reset_block(subsystem)
            self.apply()

    def watchdog(self) -> None:
        """The watchdog fired: WDSEL says which subsystems it resets."""
        for bit, subsystem in enumerate(SUBSYSTEMS):
            if self.values["WDSEL"] >> bit & 1:
                self._reset_block(subsystem)
