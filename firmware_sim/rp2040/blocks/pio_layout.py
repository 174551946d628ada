"""Where the two PIO blocks live in the state array. RP2040 datasheet 3."""

from __future__ import annotations

from firmware_sim.rp2040.layout import NEVER, PIO, PIO_STRIDE

MACHINES = 4
INSTRUCTIONS = 32
FIFO_DEPTH = 4
# Words of one block, from PIO + block * PIO_STRIDE.
ENABLED = 0  # CTRL.SM_ENABLE
IRQ, IRQ_BEFORE, IRQ_CYCLE = 1, 2, 3  # flags; what they were until IRQ_CYCLE, the cycle of their last change
FDEBUG, SYNC_BYPASS = 4, 5
INTE0, INTF0, INTE1, INTF1 = 6, 7, 8, 9
FIFO_BITS = 10  # bits 0-3 RXNEMPTY, 4-7 TXNFULL, as in INTR
MEMORY = 32  # [32] instructions
# Words of one machine, from block + MACHINE + number * MACHINE_STRIDE.
MACHINE, MACHINE_STRIDE = 64, 64
NEXT = 0  # tick of the next instruction in 1/256 cycles; STALLED when only something else can wake the machine
PHASE = 1  # tick of the last instruction, or any tick of a machine that stands: the clock divider runs on
DIVIDER = 2  # cycles * 256 from tick to tick
PC, X, Y, ISR, OSR, ISR_COUNT, OSR_COUNT = 3, 4, 5, 6, 7, 8, 9
STALL = 10  # what the machine waits for, WAIT_*
EXEC = 11  # instruction that runs instead of the next one of the program, -1 when there is none
FORCED = 12  # EXEC was written to SMx_INSTR and runs next (FORCED_NOW), or is stalled (FORCED_STALLED)
IRQ_WAITING = 13  # the IRQ instruction has set its flag and waits
CLKDIV, EXECCTRL, SHIFTCTRL, PINCTRL = 14, 15, 16, 17
STICKY_MASK, STICKY_DATA = 18, 20  # [2] levels, directions: what OUT_STICKY holds
TX_HEAD, TX_COUNT, RX_HEAD, RX_COUNT = 22, 23, 24, 25
WAIT_PIN, WAIT_LEVEL = 26, 27  # GPIO and level of a stalled WAIT
DELAY_LEFT = 28  # ticks that were left when the machine was disabled
AFTER_FORCED = 29  # NEXT before an instruction was forced; STALLED when the machine stood
FIFO_TX, FIFO_RX = 32, 40  # [8] each
WAIT_NOTHING, WAIT_TX, WAIT_RX, WAIT_IRQ, WAIT_GPIO = 0, 1, 2, 3, 4
STALLED = NEVER
FORCED_NOW, FORCED_STALLED = 1, 2

QUIET = 384  # [4 machines][32 addresses] ticks until an instruction can do more than move data and pins (pio_quiet.py)
# Words of both blocks together.
COMMON = PIO + 640
RUNNING = COMMON  # bit = block * 4 + machine: enabled, or with a stalled instruction of SMx_INSTR
SEEN = COMMON + 1  # PIN_HISTORY_COUNT when stalled WAITs were looked at last
REQUESTED = COMMON + 2  # a DMA request changed
WOKEN = COMMON + 3  # a machine was woken by another
WAITED = COMMON + 4  # GPIOs that stalled WAITs look at
STALE = COMMON + 6  # the programs or their configuration have changed since QUIET was computed
STICKY = COMMON + 5  # bit = machine that holds pins by OUT_STICKY
BLOCKS = (PIO, PIO + PIO_STRIDE)

# Bits.
SIDE_EN, SIDE_PINDIR, INLINE_OUT_EN, OUT_STICKY = 1 << 30, 1 << 29, 1 << 18, 1 << 17
FJOIN_RX, FJOIN_TX, OUT_RIGHT, IN_RIGHT, AUTOPULL, AUTOPUSH = 1 << 31, 1 << 30, 1 << 19, 1 << 18, 1 << 17, 1 << 16
TXSTALL, TXOVER, RXUNDER, RXSTALL = 24, 16, 8, 0  # first bits of FDEBUG and FSTAT's TXEMPTY, TXFULL, RXEMPTY, RXFULL
