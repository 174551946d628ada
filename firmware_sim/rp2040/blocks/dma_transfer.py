"""The DMA's transfers: who reads next, what it costs, and when the write is done. RP2040 datasheet 2.5.

The address generator issues one read a cycle at most. The read's data waits in a queue for the write master, so that
one read and one write go on at the same time: a transfer between SRAM addresses takes three cycles, many of them one
cycle each. A channel that waits for a request costs nothing until the request comes. Numbers that the datasheet leaves
open are in docs/decisions/0047.
"""

from __future__ import annotations

from firmware_sim.rp2040.banks import bank_of, dma_takes, in_banks
from firmware_sim.rp2040.blocks.dma_channel import (
    count_timer,
    dma_fail,
    dma_finish,
    dma_look,
    timer_cycle,
)
from firmware_sim.rp2040.blocks.dma_layout import (
    ABORTED,
    BSWAP,
    BUSY_CHANNELS,
    CHANNEL_STRIDE,
    CHANNELS,
    COUNT,
    CREDIT,
    CTRL,
    DATA_SIZE_SHIFT,
    ELIGIBLE,
    HALTED,
    HEAD,
    HELD,
    HIGH_PRIORITY,
    IN_FLIGHT,
    INCR_READ,
    INCR_WRITE,
    INTE0,
    INTE1,
    LAST_HIGH,
    LAST_LOW,
    NEXT_ACTION,
    NEXT_WRITE,
    Q_ADDRESS,
    Q_CHANNEL,
    Q_DATA,
    Q_DONE,
    Q_SIZE,
    QUEUE,
    QUEUE_DEPTH,
    QUEUE_WORDS,
    QUEUED,
    READ_ADDR,
    READ_AT,
    READ_BANK,
    READ_ERROR,
    READ_FREE,
    READY,
    RING_SEL,
    RING_SIZE_SHIFT,
    ROUND,
    SNIFF_CTRL,
    SNIFF_EN,
    TAKEN,
    TO_ISSUE,
    TREQ_PERMANENT,
    TREQ_SEL_SHIFT,
    TREQ_TIMER0,
    WRITE_ADDR,
    WRITE_ERROR,
    WRITE_FREE,
)
from firmware_sim.rp2040.blocks.dma_sniffer import sniff, swap_bytes
from firmware_sim.rp2040.blocks.xip import xip_wait
from firmware_sim.rp2040.bus import DPRAM_CONTROL, has_registers, lane, replicate, write_memory, xip_sram_closed
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.far import call_far
from firmware_sim.rp2040.layout import (
    BUS_PRIORITY,
    DMA,
    DPRAM_OFFSET,
    FAR_READ_REGISTER,
    FAR_WRITE_REGISTER,
    FLASH_BASE,
    HOST_EVENT,
    NEVER,
    NEXT_EVENT,
    ROM_SIZE,
    USB_LISTENS,
    WORD,
    XIP_ALIASES_END,
    Memory,
    State,
)
from firmware_sim.rp2040.memory_map import memory_offset

DMA_R_SHIFT = 8  # in BUS_PRIORITY; DMA_W is bit 12
FIFO_CYCLES = 1  # through the transfer data FIFO
STEP = 64  # cycles at most that memory may lag behind a running transfer
APB_READ_CYCLES, APB_WRITE_CYCLES = 3, 4  # on the bus, datasheet 2.1.3


@inner
def dma_next_address(control: int, address: int, increment: int, ring: int) -> int:
    """The address of the next transfer; `ring` is RING_SEL for the write address, 0 for the read address."""
    if not control & increment:
        return address
    size = 1 << ((control >> DATA_SIZE_SHIFT) & 3)
    bits = (control >> RING_SIZE_SHIFT) & 15
    if bits and control & RING_SEL == ring:
        mask = (1 << bits) - 1
        return (address & ~mask) | ((address + size) & mask)
    return (address + size) & WORD


@inner
def is_flash(address: int) -> bool:
    """Whether a read goes through the XIP."""
    return FLASH_BASE <= address < XIP_ALIASES_END


@inner
def write_goes_first(S: State, address: int, cycle: int, held: bool) -> bool:
    """Whether the write that is next wants the read's bank, and by its priority or its turn (`held`) goes first."""
    q = QUEUE + S[HEAD] * QUEUE_WORDS
    high = S[BUS_PRIORITY] >> DMA_R_SHIFT & 0x11
    if S[QUEUED] == 0 or S[q + Q_DONE] - 1 != cycle or high == 0x01 or (high != 0x10 and held):
        return False
    target = S[q + Q_ADDRESS]
    return in_banks(address) and in_banks(target) and bank_of(address) == bank_of(target)


@inner
def dma_issue(S: State, mem: Memory, channel: int, cycle: int) -> None:
    """Read for a channel at `cycle` and queue the write; a cycle later where a core has the bank."""
    c = DMA + channel * CHANNEL_STRIDE
    control = S[c + CTRL]
    held, S[HELD] = S[HELD] != 0, 0
    if S[c + TO_ISSUE] == 0:  # a sequence of no transfers
        dma_finish(S, channel, cycle)
        return
    request = (control >> TREQ_SEL_SHIFT) & 63
    if TREQ_TIMER0 <= request < TREQ_PERMANENT:
        count_timer(S, c, request - TREQ_TIMER0, cycle)
    size = min(4, 1 << ((control >> DATA_SIZE_SHIFT) & 3))
    address = S[c + READ_ADDR] & ~(size - 1)
    if write_goes_first(S, address, cycle, held) or not dma_takes(S, address, cycle):
        S[HELD], S[READ_FREE] = channel + 1, cycle + 1
        return
    offset = memory_offset(address)
    cost = 1
    if offset >= 0:
        wait = xip_wait(S, address, cycle) if is_flash(address) else 0
        cost += wait
        if wait < 0 or xip_sram_closed(S, address):
            value = -1
        elif size == 4:
            value = mem.words[offset >> 2] & WORD
        elif size == 2:
            value = mem.halves[offset >> 1] & 0xFFFF
        else:
            value = mem.bytes[offset] & 0xFF
    elif has_registers(address):  # not the cores' own SIO and PPB
        if address >> 28 == 4:
            cost = APB_READ_CYCLES
        value = call_far(S, FAR_READ_REGISTER, address & ~3, cycle, 0, 0)
        if value >= 0:
            value = lane(value, address, size)
    else:
        value = -1
    S[READ_FREE] = cycle + max(1, cost)
    if value < 0:
        dma_fail(S, channel, READ_ERROR)
        return
    if control & BSWAP:
        value = swap_bytes(value, size)
    if control & SNIFF_EN and S[SNIFF_CTRL] & 0x1F == 1 | channel << 1:
        sniff(S, value, size)
    q = QUEUE + ((S[HEAD] + S[QUEUED]) & (QUEUE_DEPTH - 1)) * QUEUE_WORDS
    target = S[c + NEXT_WRITE] & ~(size - 1)
    start = max(cycle + cost + FIFO_CYCLES, S[WRITE_FREE])
    S[WRITE_FREE] = start + (APB_WRITE_CYCLES if target >> 28 == 4 else 1)
    S[q + Q_CHANNEL], S[q + Q_DATA], S[q + Q_ADDRESS], S[q + Q_SIZE] = channel, value, target, size
    S[q + Q_DONE] = S[WRITE_FREE]
    S[QUEUED] += 1
    S[c + IN_FLIGHT] += 1
    S[c + TO_ISSUE] -= 1
    S[c + READ_ADDR] = dma_next_address(control, S[c + READ_ADDR], INCR_READ, 0)
    S[c + NEXT_WRITE] = dma_next_address(control, S[c + NEXT_WRITE], INCR_WRITE, RING_SEL)
    if request < TREQ_PERMANENT or S[c + TO_ISSUE] == 0:
        if S[c + CREDIT] > 0:
            S[c + CREDIT] -= 1
        if TREQ_TIMER0 <= request < TREQ_PERMANENT and S[c + CREDIT] == 0:
            S[c + READY] = timer_cycle(S, request - TREQ_TIMER0, S[c + TAKEN] + 1)
        dma_look(S, channel, cycle)


@inner
def dma_store(S: State, mem: Memory, address: int, size: int, value: int, cycle: int) -> bool:
    """Write for the DMA; False on a bus error."""
    if address < ROM_SIZE or is_flash(address) or xip_sram_closed(S, address):
        return False
    offset = memory_offset(address)
    if offset >= 0:
        write_memory(mem, offset, size, value)
        if S[USB_LISTENS] and DPRAM_OFFSET <= offset < DPRAM_OFFSET + DPRAM_CONTROL:
            S[HOST_EVENT] = S[NEXT_EVENT] = cycle
        return True
    if not has_registers(address):
        return False
    return call_far(S, FAR_WRITE_REGISTER, address & ~3, replicate(value, size), cycle, 0) >= 0


@inner
def dma_complete(S: State, mem: Memory) -> None:
    """Do the write at the head of the queue."""
    q = QUEUE + S[HEAD] * QUEUE_WORDS
    channel, cycle = S[q + Q_CHANNEL], S[q + Q_DONE]
    c = DMA + channel * CHANNEL_STRIDE
    if not dma_takes(S, S[q + Q_ADDRESS], cycle - 1):  # this write and those behind it come later
        for i in range(S[QUEUED]):
            S[QUEUE + ((S[HEAD] + i) & (QUEUE_DEPTH - 1)) * QUEUE_WORDS + Q_DONE] += 1
        S[WRITE_FREE] += 1
        return
    if S[QUEUED] == QUEUE_DEPTH:
        S[READ_FREE] = max(S[READ_FREE], cycle)
    S[HEAD] = (S[HEAD] + 1) & (QUEUE_DEPTH - 1)
    S[QUEUED] -= 1
    S[c + IN_FLIGHT] -= 1
    if S[c + ABORTED] == HALTED:
        if S[c + IN_FLIGHT] == 0:
            S[BUSY_CHANNELS] &= ~(1 << channel)
        return
    if not dma_store(S, mem, S[q + Q_ADDRESS], S[q + Q_SIZE], S[q + Q_DATA], cycle):
        dma_fail(S, channel, WRITE_ERROR)
        return
    S[c + COUNT] -= 1
    S[c + WRITE_ADDR] = dma_next_address(S[c + CTRL], S[c + WRITE_ADDR], INCR_WRITE, RING_SEL)
    if S[c + TO_ISSUE] == 0 and S[c + IN_FLIGHT] == 0:
        dma_finish(S, channel, cycle)
    elif (S[c + CTRL] >> TREQ_SEL_SHIFT) & 63 < TREQ_PERMANENT:
        dma_look(S, channel, cycle)


@inner
def dma_earliest(S: State) -> int:
    """Cycle of the next read; NEVER when no channel may issue one or the queue is full."""
    earliest = NEVER
    if S[QUEUED] < QUEUE_DEPTH and S[ELIGIBLE]:
        for channel in range(CHANNELS):
            if S[ELIGIBLE] >> channel & 1:
                earliest = min(earliest, S[DMA + channel * CHANNEL_STRIDE + READY])
        earliest = max(earliest, S[READ_FREE])
    return earliest


@inner
def dma_choose(S: State, cycle: int) -> int:
    """The channel that reads at `cycle`: in each round all of HIGH_PRIORITY, then one other channel."""
    if S[HELD] and S[ELIGIBLE] >> (S[HELD] - 1) & 1:
        return S[HELD] - 1
    for _ in range(2):
        for step in range(1, CHANNELS + 1):
            channel = (S[LAST_HIGH] + step) % CHANNELS
            c = DMA + channel * CHANNEL_STRIDE
            wanted = S[ELIGIBLE] & S[ROUND]
            if wanted >> channel & 1 and S[c + CTRL] & HIGH_PRIORITY and S[c + READY] <= cycle:
                S[ROUND] &= ~(1 << channel)
                S[LAST_HIGH] = channel
                return channel
        S[ROUND] = (1 << CHANNELS) - 1
        for step in range(1, CHANNELS + 1):
            channel = (S[LAST_LOW] + step) % CHANNELS
            c = DMA + channel * CHANNEL_STRIDE
            if S[ELIGIBLE] >> channel & 1 and not S[c + CTRL] & HIGH_PRIORITY and S[c + READY] <= cycle:
                S[LAST_LOW] = channel
                return channel
    return 0


@inner
def dma_next(S: State) -> int:
    """Cycle of the DMA's next read or write."""
    done = S[QUEUE + S[HEAD] * QUEUE_WORDS + Q_DONE] if S[QUEUED] else NEVER
    return min(done, dma_earliest(S))


@inner
def dma_pending(S: State, now: int) -> bool:
    """Whether a read before `now` or a write up to `now` is still to be done."""
    return (S[QUEUED] != 0 and S[QUEUE + S[HEAD] * QUEUE_WORDS + Q_DONE] <= now) or dma_earliest(S) < now


@inner
def dma_run(S: State, mem: Memory, now: int, reads_until: int) -> None:
    """Do all writes up to `now` and all reads before `reads_until`."""
    while True:
        done = S[QUEUE + S[HEAD] * QUEUE_WORDS + Q_DONE] if S[QUEUED] else NEVER
        cycle = dma_earliest(S)
        if done > now and cycle >= reads_until:
            return
        if done <= cycle:
            dma_complete(S, mem)
        else:
            dma_issue(S, mem, dma_choose(S, cycle), cycle)


@inner
def dma_plan(S: State) -> None:
    """Note what the DMA does next with the banks of the SRAM, for arbitration.py."""
    at = dma_earliest(S)
    bank = -1
    if at < NEVER:
        high, low, turn = S[LAST_HIGH], S[LAST_LOW], S[ROUND]
        c = DMA + dma_choose(S, at) * CHANNEL_STRIDE
        S[LAST_HIGH], S[LAST_LOW], S[ROUND] = high, low, turn
        if in_banks(S[c + READ_ADDR]) and S[c + TO_ISSUE]:
            bank = bank_of(S[c + READ_ADDR])
    S[READ_AT], S[READ_BANK] = at, bank
    S[NEXT_ACTION] = min(at, S[QUEUE + S[HEAD] * QUEUE_WORDS + Q_DONE] - 1 if S[QUEUED] else NEVER)


@inner
def dma_due(S: State, now: int) -> int:
    """Cycle at which the DMA must be run: with interrupts enabled not behind the one at which a sequence may end.

    Else a multiple of STEP, so that it does not depend on when somebody looked last.
    """
    first = dma_next(S)
    remaining = STEP
    if first < NEVER and S[INTE0] | S[INTE1]:
        for channel in range(CHANNELS):
            if S[BUSY_CHANNELS] >> channel & 1:
                remaining = min(remaining, S[DMA + channel * CHANNEL_STRIDE + COUNT])
    if first == NEVER:
        return NEVER
    if remaining < STEP:
        return first + max(0, remaining - 1)
    return (max(first - STEP, now) | (STEP - 1)) + 1
