"""Where the DMA's registers and its pipeline live in the state array. RP2040 datasheet 2.5."""

from __future__ import annotations

from firmware_sim.rp2040.layout import DMA

CHANNELS = 12
CHANNEL_STRIDE = 32
# Words of one channel, from DMA + channel * CHANNEL_STRIDE.
READ_ADDR, WRITE_ADDR, COUNT, RELOAD, CTRL = 0, 1, 2, 3, 4  # COUNT: transfers whose write is not done
TO_ISSUE = 5  # transfers whose read is not done
IN_FLIGHT = 6  # reads whose write is not done
CREDIT = 7  # requests taken from pulses and pacing timers and not used yet
READY = 8  # cycle from which the next read may be issued
TAKEN = 9  # requests of its pacing timer that CREDIT has seen
ABORTED = 10  # CHAN_ABORT or a bus error while transfers were in flight
NEXT_WRITE = 11  # write address of the next read

# Words of the whole block.
GLOBAL = DMA + CHANNELS * CHANNEL_STRIDE
BUSY_CHANNELS = GLOBAL + 0  # bit = channel that has a sequence in progress
ELIGIBLE = GLOBAL + 1  # bit = channel that may issue once its READY has come
EVENT = GLOBAL + 2  # cycle at which DMA and PIO must be advanced (lazy.py)
INTR, INTE0, INTF0, INTE1, INTF1 = GLOBAL + 3, GLOBAL + 4, GLOBAL + 5, GLOBAL + 6, GLOBAL + 7
SNIFF_CTRL, SNIFF_DATA = GLOBAL + 8, GLOBAL + 9
ROUND = GLOBAL + 10  # bit = HIGH_PRIORITY channel that has not had its turn in this round
LAST_HIGH, LAST_LOW = GLOBAL + 11, GLOBAL + 12  # round robin
READ_FREE, WRITE_FREE = GLOBAL + 13, GLOBAL + 14  # cycle from which the read and the write master are free
HEAD, QUEUED = GLOBAL + 15, GLOBAL + 16  # reads that wait for their write
NEXT_ACTION = GLOBAL + 17  # cycle of the next use of the bus; NEVER: none is known
READ_AT, READ_BANK = GLOBAL + 18, GLOBAL + 19  # cycle of the next read, and its bank of the SRAM or -1
HELD = GLOBAL + 28  # 1 + the channel whose read waits for its bank
TIMER = GLOBAL + 20  # [4] X << 16 | Y
TIMER_BASE = GLOBAL + 24  # [4] cycle at which the timer was set
QUEUE = GLOBAL + 32  # [QUEUE_DEPTH][QUEUE_WORDS]
QUEUE_DEPTH = 4
QUEUE_WORDS = 8
Q_CHANNEL, Q_DATA, Q_ADDRESS, Q_SIZE, Q_DONE = 0, 1, 2, 3, 4

# Bits of CTRL.
EN, HIGH_PRIORITY = 1 << 0, 1 << 1
INCR_READ, INCR_WRITE, RING_SEL = 1 << 4, 1 << 5, 1 << 10
IRQ_QUIET, BSWAP, SNIFF_EN, BUSY = 1 << 21, 1 << 22, 1 << 23, 1 << 24
WRITE_ERROR, READ_ERROR, AHB_ERROR = 1 << 29, 1 << 30, 1 << 31
CTRL_WRITABLE = (1 << 24) - 1
DATA_SIZE_SHIFT, RING_SIZE_SHIFT, CHAIN_TO_SHIFT, TREQ_SEL_SHIFT = 2, 6, 11, 15
TREQ_TIMER0, TREQ_PERMANENT = 0x3B, 0x3F
MAX_CREDIT = 63  # DBG_CTDREQ has six bits
HALTED, FLUSHED = 2, 1  # values of ABORTED: after a bus error; by CHAN_ABORT
