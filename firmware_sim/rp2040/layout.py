"""Where everything lives in the two arrays that hold a whole chip.

A chip is one `int64` state array (registers of the cores and of the compiled blocks) and one `uint8` memory (ROM, SRAM,
USB RAM, XIP cache used as SRAM, flash), seen also as uint16 and uint32. Nothing else changes while the emulated chip
runs, so a snapshot is a copy. Guest words are kept zero-extended in int64.

The state holds a slice of CORE_STRIDE words a core (core 1's begins at CORE_STRIDE), then the shared blocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

if TYPE_CHECKING:

    class IntArray(np.ndarray[tuple[int], np.dtype[Any]]):
        """A one-dimensional integer array whose elements are plain ints to the type checker."""

        @overload  # type: ignore[override]
        def __getitem__(self, index: int, /) -> int: ...
        @overload
        def __getitem__(self, index: slice | list[int], /) -> IntArray: ...
        def __getitem__(self, index: Any, /) -> Any: ...

else:
    IntArray = np.ndarray

State = IntArray  # int64 [STATE_WORDS]
Bytes = IntArray  # uint8
Halves = IntArray  # uint16
Words = IntArray  # uint32
Decoded = IntArray  # int64 [DECODED_ENTRIES]: one entry a halfword of memory


class Memory(NamedTuple):
    """The arrays beside the state; the first three share one buffer."""

    bytes: Bytes  # [MEMORY_BYTES]
    halves: Halves  # [MEMORY_BYTES / 2]
    words: Words  # [MEMORY_BYTES / 4]
    decoded: Decoded  # [DECODED_ENTRIES]
    pages: Bytes  # [CODE_PAGES], bit 0 where code was decoded, NATIVE_PAGE where it was translated
    natives: Decoded  # int64 [NATIVE_ROWS * NATIVE_ROW]: translated code (native/enter.py)
    breaks: Bytes  # [MEMORY_BYTES / 2] by memory offset >> 1: STOPS where a debugger's breakpoint is, TRANSLATED
    uarts: Bytes  # [2 * UART_BUFFER], per UART: what was sent, then what the host sends


WORD = 0xFFFFFFFF
COST_SHIFT = 32  # loads return value | cycles << COST_SHIFT
NEVER = 1 << 62  # cycle of an event that is not scheduled

# --- memory: byte offsets of the parts in the one buffer (RP2040 datasheet 2.2, "Address Map") ---
ROM_SIZE, ROM_OFFSET = 0x4000, 0  # at address 0
SRAM_BASE, SRAM_SIZE, SRAM_OFFSET = 0x20000000, 0x42000, 0x4000
SRAM_STRIPED_SIZE = 0x40000  # banks 0-3; the two 4 KB banks follow
SRAM_UNSTRIPED_BASE = 0x21000000  # bank 0 first, then bank 1, ...
SRAM_END = SRAM_BASE + SRAM_SIZE
DPRAM_BASE, DPRAM_SIZE, DPRAM_OFFSET = 0x50100000, 0x1000, SRAM_OFFSET + SRAM_SIZE
XIP_SRAM_BASE, XIP_SRAM_SIZE, XIP_SRAM_OFFSET = 0x15000000, 0x4000, DPRAM_OFFSET + DPRAM_SIZE
FLASH_BASE, FLASH_SIZE, FLASH_OFFSET = 0x10000000, 0x200000, 0x50000
XIP_ALIASES_END = 0x14000000  # 0x11.., 0x12.., 0x13.. are the flash with other cache policies
MEMORY_BYTES = FLASH_OFFSET + FLASH_SIZE
# Behind the entries of the memory: a guard, then scratch for code that runs from an address without entries of its own.
FLASH_GUARD = MEMORY_BYTES // 2
SCRATCH = FLASH_GUARD + 1
DECODED_ENTRIES = SCRATCH + 3
SRAM_GUARD = DPRAM_OFFSET // 2  # nothing runs from the USB RAM through its own entries
CODE_PAGE_SHIFT = 8  # a page of 256 bytes is marked once something in it was decoded
CODE_PAGES = (SRAM_OFFSET + SRAM_SIZE) >> CODE_PAGE_SHIFT
NATIVE_PAGE = 2
STOPS, TRANSLATED = 1, 2  # bits of `Memory.breaks`; the second means that code there may have been translated
NATIVE_ROWS, NATIVE_ROW = 1024, 11

# --- state of one core ---
CORE_STRIDE = 128
SP, LR, PC = 13, 14, 15
ZERO = 16  # a register that is always 0: makes every address R[b] + R[c] + imm
NZ = 17  # N = bit 31 or 32, Z = the low 32 bits are 0 (both at once only after MSR or an exception return)
CARRY = 18  # C = bit 32
OVERFLOW = 19  # V = bit 31
PRIMASK = 20
CONTROL = 21  # bit 0 nPRIV (stored only), bit 1 SPSEL
IPSR = 22
OTHER_SP = 23  # the banked stack pointer that is not in R[13]
CYCLES = 24
INSTRUCTIONS = 25
SLEEPING = 26  # 0 awake, or one of the next line
EVENT_REGISTER = 27
VTOR = 28
LATCHED = 29  # pending, bit = exception number
ENABLED = 30  # bit = exception number; the system exceptions are always set
ACTIVE = 31  # bit = exception number
SCR = 32
OWN_LINES = 33  # levels of the interrupt lines that only this core has, bit = IRQ number: SIO 15 or 16, IO_BANK0 13
CORE_ID = 34
SYST_CSR = 35  # ENABLE, TICKINT, CLKSOURCE; COUNTFLAG is in SYST_COUNTFLAG
SYST_RVR = 36
SYST_LOADED = 37  # reload value of the period that runs
SYST_ZERO = 38  # cycle at which the counter was 0 (running)
SYST_VALUE = 39  # value while it stands still
SYST_COUNTFLAG = 40
SYST_EVENT = 41
DIV_DIVIDEND, DIV_DIVISOR, DIV_QUOTIENT, DIV_REMAINDER, DIV_READY, DIV_DIRTY, DIV_SIGNED = 42, 43, 44, 45, 46, 47, 48
MPU_CTRL = 49
SWITCH_AT = 51  # cycle at which it is decided which handler a core that enters or leaves one runs next; NEVER: none
SWITCH_TO = 56  # the exception that it set out for, or the EXC_RETURN
LINE, LINE_BIAS = 52, 53  # what `run` knows about the code that it runs, see core.py
NMI_MASK = 54  # SYSCFG.PROCn_NMI_MASK: interrupt lines that are NMI for this core
SEEN_PENDING = 55  # exceptions that were pending when the core was last looked at, for SEVONPEND
EXECUTION_PRIORITY = 50  # of the active exceptions without PRIMASK; THREAD_PRIORITY when there are none
PRIORITY = 64  # [48] by exception number
LOADED = 112  # [16] by register: what the LDM that runs has read so far
SLEEP_WFI, SLEEP_WFE, DEAD, SLEEP_HELD = 1, 2, 3, 4  # values of SLEEPING; dead: locked up, held: in reset
THREAD_PRIORITY = 8  # lower than any exception (-2 to 3)
INTERP = CORE_STRIDE * 2  # [2 cores][2 interpolators][INTERP_STRIDE]
INTERP_STRIDE = 16

# --- shared state ---
SHARED = INTERP + 4 * INTERP_STRIDE
LINES = SHARED + 0  # level of the 26 interrupt lines, bit = IRQ number
NEXT_EVENT = SHARED + 1  # earliest of all events; setting it to the present cycle makes the core look again
END = SHARED + 2  # cycle at which run() returns
EXIT = SHARED + 3  # why it returned, EXIT_*
EXIT_VALUE = SHARED + 4
CLK_SYS_HZ = SHARED + 5
CLK_PERI_HZ = SHARED + 6
TICK_HZ = SHARED + 7  # of the watchdog's tick generator, which TIMER and SysTick count
TIMER_BASE_CYCLE = SHARED + 8
TIMER_BASE_US = SHARED + 9
TIMER_PHASE = SHARED + 10  # remainder in units of 1 / (CLK_SYS_HZ * TICK_HZ)
TIMER_LATCHED_HIGH = SHARED + 11
TIMER_WRITE_LOW = SHARED + 12
TIMER_ARMED = SHARED + 13
TIMER_INTR = SHARED + 14
TIMER_INTE = SHARED + 15
TIMER_INTF = SHARED + 16
TIMER_PAUSE = SHARED + 17
TIMER_DBGPAUSE = SHARED + 18
TIMER_ALARM = SHARED + 20  # [4]
TIMER_EVENT = SHARED + 24  # [4] cycle at which the alarm fires
GPIO_OUT, GPIO_OE, GPIO_HI_OUT, GPIO_HI_OE = SHARED + 28, SHARED + 29, SHARED + 30, SHARED + 31
GPIO_EXTERNAL = SHARED + 32  # levels that the outside drives, where PIN_EXTERNAL_MASK says that it does
SPINLOCKS = SHARED + 33  # bit = lock taken
HOST_EVENT = SHARED + 34  # next cycle at which a block written in Python wants to be called
FAULT_KIND, FAULT_ADDRESS, FAULT_PC = SHARED + 35, SHARED + 36, SHARED + 37
FAULT_REGISTERS = SHARED + 38  # [17] r0-r12, SP, LR, PC, xPSR
UART_STOP_BYTE = SHARED + 55  # run() returns after the chip sent this byte; -1: never
EXIT_CORE = SHARED + 57  # whose doing it was that run() returned: 0 or CORE_STRIDE
SLICE = SHARED + 56  # cycle at which run() returns to look at the keyboard; idle time jumps over it
BUS_STALL = SHARED + 60  # cycles that the register access just made keeps the bus waiting
FAST_SINCE = SHARED + 62  # first cycle of both cores in fast mode, + 1; 0: none yet
INTERLEAVING = SHARED + 61  # 0 exact, 1 fast; the host's choice
WRITTEN = SHARED + 58  # what the last store put on the bus, before an atomic alias: write-clear bits go by it
USB_LISTENS = SHARED + 59  # 1 while the USB host waits for the firmware: stores to the USB RAM are told to it
STEPPING = SHARED + 63  # run() returns after one instruction of one core
UART = SHARED + 64  # [2 UARTs][UART_STRIDE]
UART_STRIDE = 128
UART_OUT_BYTES = 1 << 16  # bytes sent, taken by the host whenever the loop returns
UART_IN_BYTES = 1 << 16  # ring of what the host wants to send: pairs of a byte and its line errors
UART_IN_ENTRIES = UART_IN_BYTES // 2
UART_BUFFER = UART_OUT_BYTES + UART_IN_BYTES
# Pins (blocks/pins.py). Each function of FUNCSEL (1 SPI, 2 UART, 3 I2C, 4 PWM, 5 SIO, 6 PIO0, 7 PIO1, 8 CLOCK, 9 USB)
# drives a word of levels and a word of output enables; bit = GPIO number.
PINS = UART + 2 * UART_STRIDE
PIN_FUNCTION = PINS  # [16] by function: the pins that IO_BANK0 gives to it
PIN_OUT = PINS + 16  # [16] by function: levels; SIO's are in GPIO_OUT
PIN_OE = PINS + 32  # [16] by function: output enables; SIO's are in GPIO_OE
PIN_PAD = PINS + 48  # levels at the pads
PIN_IN = PINS + 49  # levels that the blocks see: input enable and INOVER applied
PIN_EXTERNAL_MASK = PINS + 50  # pins that something outside drives, with the levels GPIO_EXTERNAL
# Words of GPIO_EXTERNAL, PIN_EXTERNAL_* and those below hold bank 0 in bits 0-29 and the QSPI pins from bit QSPI_SHIFT.
QSPI_SHIFT = 32
PIN_HI_PAD, PIN_HI_IN = PINS + 51, PINS + 52  # the six QSPI pins: SCLK, SS, SD0-SD3
PIN_LEVELS = PINS + 53  # all pads as they were computed last
PIN_OUTOVER, PIN_OEOVER, PIN_INOVER, PIN_IRQOVER = PINS + 54, PINS + 57, PINS + 60, PINS + 63  # [3] invert, low, high
PIN_PULL_UP, PIN_PULL_DOWN, PIN_INPUT_ENABLE, PIN_OUTPUT_DISABLE = PINS + 66, PINS + 67, PINS + 68, PINS + 69
PIN_EXTERNAL_UP, PIN_EXTERNAL_DOWN = PINS + 70, PINS + 71  # resistors on the board
PIN_IRQ = PINS + 72  # levels that the interrupt logic sees: input enable and IRQOVER applied
PIN_EDGE_LOW, PIN_EDGE_HIGH = PINS + 73, PINS + 74  # latched
PIN_INTE = PINS + 76  # [3 targets][4]: PROC0, PROC1, DORMANT_WAKE; level low, level high, edge low, edge high
PIN_INTF = PINS + 88  # [3 targets][4]
PIN_CONFLICT = PINS + 100  # pins on which the chip and the outside drove different levels
PIN_WATCH = PINS + 101  # pins whose edges go into PIN_LOG
PIN_WATCH_PIO, PIN_WATCH_CAMERA = PINS + 102, PINS + 103  # pins whose PWM edges these blocks must not miss
PIN_LOG_COUNT = PINS + 104
PIN_LOG_LIMIT = PINS + 105  # entries at which Python is called: 1 for callbacks, more for a mere log
PIN_OE_PAD = PINS + 106  # pins that the chip drives
ACCESS_CORE = PINS + 107  # slice of the core that accessed a register last
PIN_WORDS = 128
# DMA requests (datasheet 2.5.3.1), bit = TREQ number: level while a FIFO can give or take; a pulse is cleared by DMA.
DREQ_LEVEL = PINS + PIN_WORDS
DREQ_PULSE = DREQ_LEVEL + 1
DREQ_WANTED = DREQ_LEVEL + 2  # requests that busy DMA channels wait for
XIP = DREQ_LEVEL + 16  # cache tags and SSI (blocks/xip.py)
XIP_WORDS = 4096
XIP_SETS = 1024  # of two lines of 8 bytes
XIP_TAGS = XIP  # [XIP_SETS][2] tag + 1, 0: nothing there
XIP_VICTIM = XIP + 2 * XIP_SETS  # [XIP_SETS] which of the two is filled next
XIP_CTRL = XIP + 3 * XIP_SETS
XIP_HITS, XIP_ACCESSES = XIP_CTRL + 1, XIP_CTRL + 2
XIP_FREE = XIP_CTRL + 3  # cycle from which the interface to the flash is free
XIP_WORD_CYCLES, XIP_LINE_CYCLES = XIP_CTRL + 4, XIP_CTRL + 5  # of an uncached word and of a line, see xip_ssi.py
XIP_FLUSHED = XIP_CTRL + 6  # cycle at which the cache is empty
STREAM_ADDR, STREAM_CTR, STREAM_DUE = XIP_CTRL + 8, XIP_CTRL + 9, XIP_CTRL + 10  # due: cycle of the next word
STREAM_COUNT, STREAM_WORDS = XIP_CTRL + 11, XIP_CTRL + 12  # [2]
XIP_EN, XIP_ERR_BADWRITE, XIP_POWER_DOWN = 1, 2, 8  # CTRL
DMA = XIP + XIP_WORDS
DMA_WORDS = 1024
PIO = DMA + DMA_WORDS  # [2 blocks][PIO_STRIDE]
PIO_STRIDE = 1024
CAMERA = PIO + 2 * PIO_STRIDE
CAMERA_WORDS = 256
PIN_LOG = CAMERA + CAMERA_WORDS  # [PIN_LOG_ENTRIES][3] cycle, levels, which of the watched pins changed
PIN_LOG_ENTRIES = 512
BOOT = PIN_LOG + 3 * PIN_LOG_ENTRIES
XIP_OFF = BOOT  # not 0: flash can be read from the XIP cache only (1: SSI not in read mode, 2: flash chip busy)
ROM_PHASE = BOOT + 1  # [2 cores] where a flash function of the boot ROM stands
ROM_UNTIL = BOOT + 3  # [2 cores] cycle up to which it waits
PIN_STUCK, PIN_STUCK_LEVEL = BOOT + 5, BOOT + 6  # injected fault: pads that keep a level whatever drives them
CLOCK_PPM = BOOT + 7  # injected fault: how much faster the crystal runs
SLEPT, SLEPT_DEEP = BOOT + 8, BOOT + 9  # cycles in which both cores slept; of these with core 0's SCR.SLEEPDEEP
BUS_PRIORITY = BOOT + 10  # BUSCTRL.BUS_PRIORITY: PROC0 bit 0, PROC1 4, DMA_R 8, DMA_W 12
BOOT_WORDS = 16
FIFO = BOOT + BOOT_WORDS  # [2][FIFO_STRIDE]: what core 0 reads, what core 1 reads (blocks/sio.py)
FIFO_STRIDE = 16
EVENT_AT = FIFO + 2 * FIFO_STRIDE  # [EVENT_KINDS] cycle of the next event of each compiled block, EVENT_*
EVENT_TIMER, EVENT_UART0, EVENT_UART1, EVENT_STREAM, EVENT_PWM, EVENT_ADC, EVENT_CAMERA = range(7)
EVENT_KINDS = 16
BANKS = EVENT_AT + EVENT_KINDS  # ring of what the cores do to the banks of the SRAM, a word a cycle (banks.py)
BANK_CYCLES = 1024
PWM = BANKS + BANK_CYCLES  # [8 slices][16] (blocks/pwm.py)
PWM_INTR, PWM_INTE, PWM_INTF = PWM + 128, PWM + 129, PWM + 130
PWM_INPUTS = PWM + 131  # pins that slices take as input
ADC = PWM + 144  # blocks/adc.py
ADC_CODES = ADC + 24  # [8] what the channels measure
CLK_ADC_HZ = ADC + 32
SYSTEM_WORDS = 192
# Ring: cycle of a change of PIN_IN, and PIN_IN before it (blocks/pins.py), for what sees pins two cycles late.
PIN_HISTORY = PWM + SYSTEM_WORDS  # [PIN_HISTORY_ENTRIES][2]
PIN_HISTORY_ENTRIES = 64
PIN_HISTORY_COUNT = PIN_HISTORY + 2 * PIN_HISTORY_ENTRIES  # changes so far
OWNERS = PIN_HISTORY_COUNT + 1  # [SRAM pages] which core has read (1, 4) and written (2, 8) it; fast mode
OWNER_PAGES = SRAM_SIZE >> CODE_PAGE_SHIFT
FAST_STALLS = OWNERS + OWNER_PAGES  # how often both cores waited for each other in fast mode: to be 0
# Addresses in this process; a snapshot is restored without them.
ADDRESSES = FAST_STALLS + 1
FAR = ADDRESSES  # [64] functions called through `call_far`, FAR_*
UNIT_READ = ADDRESSES + 64  # [64] by `bus.unit_index`: functions that serve the registers of a block, or 0: Python does
UNIT_WRITE = ADDRESSES + 128  # [64]
EVENT_FIRE = ADDRESSES + 192  # [EVENT_KINDS] functions that do what is due
MEMORY_AT = ADDRESSES + 208  # [8] of the arrays of Memory
STATE_AT = ADDRESSES + 224  # of this array
HOST_ADDRESS = ADDRESSES + 225  # of the function that serves the blocks written in Python
CAMERA_FRAME_AT = ADDRESSES + 226  # of the bytes that the camera sends
ADDRESS_WORDS = 256
STATE_WORDS = ADDRESSES + ADDRESS_WORDS
(
    FAR_READ,  # core, address, size, cycle -> value | cost << 32, or the negated fault
    FAR_WRITE,  # core, address, value << 3 | size, cycle -> cost, or the negated fault
    FAR_LOAD_MULTIPLE,
    FAR_STORE_MULTIPLE,
    FAR_ATTEND,
    FAR_RETURN,
    FAR_SVC,
    FAR_MRS,
    FAR_MSR,
    FAR_DECODE,
    FAR_READ_REGISTER,  # address, cycle
    FAR_WRITE_REGISTER,  # address, value, cycle
    FAR_ADVANCE,  # cycle: bring DMA and PIO up to it
    FAR_XIP_MISS,  # address, cycle -> cycles that the access waits, or the negated fault
    FAR_LOOK_PWM,  # cycle: pins that PWM slices count have changed
    FAR_ROM_FLOAT,  # core, number of the function -> 1; 0: Python serves it
    FAR_LOAD_INTERPOLATOR,  # core, address -> value
    FAR_STORE_INTERPOLATOR,  # core, address, value
    FAR_GRANT,  # core | words << 8 | follows << 16, address, cycle, known: see arbitration.py
) = range(FAR, FAR + 19)

# --- why run() returned ---
EXIT_END = 0
EXIT_BKPT = 1
EXIT_LOCKUP = 2
EXIT_FAULT = 3  # a fault was taken; the HardFault handler runs next
EXIT_UART = 4  # output buffer half full, or UART_STOP_BYTE was sent
EXIT_IDLE = 6  # asleep and nothing is scheduled
EXIT_RESET = 7
EXIT_HOST = 8  # a block written in Python wants the loop to return
BREAKPOINT = 256  # EXIT_VALUE of EXIT_BKPT where `Memory.breaks` is set; the immediate of a real BKPT is below
EXIT_USB_BOOT = 10
EXIT_POWER = 11  # an injected power cut
EXIT_BROWN_OUT = 12
EXIT_STUCK = 9  # `b .` in the HardFault handler: nothing can happen any more

# --- kinds of faults; loads and stores return them negated ---
FAULT_NONE = 0
FAULT_UNALIGNED = 1
FAULT_UNMAPPED = 2
FAULT_UNDEFINED = 3
FAULT_FLASH_WRITE = 4
FAULT_EXECUTE_NEVER = 5
FAULT_ROM_WRITE = 6
FAULT_NOT_THUMB = 7
FAULT_SVC_PRIORITY = 8
FAULT_EXCEPTION_RETURN = 9
FAULT_VECTOR = 10
FAULT_STACKING = 11
FAULT_XIP_OFF = 12
