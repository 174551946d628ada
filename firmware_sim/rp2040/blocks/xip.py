"""The cache in front of the flash, its control registers and the streaming FIFO. RP2040 datasheet 2.6.3.

16 KB, two ways, lines of 8 bytes: set = address bits 3-12, tag = bits 13-23. Of the two lines of a set the one filled
earlier is replaced (decision 0044). Bits 24 and 25 of the address choose: 0x10 looks up and fills, 0x11 only looks up,
0x12 only fills, 0x13 does neither. A hit costs nothing; what a miss costs follows from the SSI's settings (xip_ssi.py).
"""

from __future__ import annotations

from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import call_far, longs_at, memory_of
from firmware_sim.rp2040.layout import (
    BUS_STALL,
    DREQ_LEVEL,
    EVENT_AT,
    EVENT_STREAM,
    FAR_XIP_MISS,
    FAULT_XIP_OFF,
    FLASH_BASE,
    FLASH_OFFSET,
    FLASH_SIZE,
    NEVER,
    NEXT_EVENT,
    STATE_WORDS,
    STREAM_ADDR,
    STREAM_COUNT,
    STREAM_CTR,
    STREAM_DUE,
    STREAM_WORDS,
    WORD,
    XIP_ACCESSES,
    XIP_CTRL,
    XIP_EN,
    XIP_FLUSHED,
    XIP_FREE,
    XIP_HITS,
    XIP_LINE_CYCLES,
    XIP_OFF,
    XIP_POWER_DOWN,
    XIP_SETS,
    XIP_TAGS,
    XIP_VICTIM,
    XIP_WORD_CYCLES,
    Memory,
    State,
)

CTRL, FLUSH, STAT, CTR_HIT, CTR_ACC, STREAM_ADDR_REG, STREAM_CTR_REG, STREAM_FIFO = range(0, 0x20, 4)
NO_LOOKUP, NO_ALLOCATE = 1 << 25, 1 << 24  # address bits
FLUSH_CYCLES = XIP_SETS  # a set a cycle
STREAM_DEPTH = 2
DREQ_XIP_STREAM = 37
XIP_AUX = 0x50400000


@inner
def set_of(address: int) -> int:
    """Set of the cache that an address belongs to."""
    return (address >> 3) & (XIP_SETS - 1)


@inner
def tag_of(address: int) -> int:
    """What XIP_TAGS holds for the line of an address."""
    return ((address >> 13) & 0x7FF) + 1


@inner
def is_cached(S: State, address: int) -> bool:
    """Whether the line of an address is in the cache."""
    at, tag = XIP_TAGS + 2 * set_of(address), tag_of(address)
    return S[at] == tag or S[at + 1] == tag


@inner
def can_be_read(S: State, address: int) -> bool:
    """Whether a read of the flash would give data now: it is on, or the line is in the cache."""
    looks_up = address & NO_LOOKUP == 0 and S[XIP_CTRL] & XIP_EN != 0
    return S[XIP_OFF] == 0 or (looks_up and is_cached(S, address))


@inner
def xip_wait(S: State, address: int, now: int) -> int:
    """Cycles that a read of the flash at the cycle `now` waits beyond the usual two; negative: the fault."""
    if address & NO_LOOKUP == 0 and S[XIP_CTRL] & XIP_EN:
        S[XIP_ACCESSES] += 1
        if is_cached(S, address):
            S[XIP_HITS] += 1
            return 0
    return call_far(S, FAR_XIP_MISS, address, now, 0, 0)


@inner
def fill(S: State, address: int) -> None:
    """Put the line of an address into the cache, in place of the older of its set."""
    if not is_cached(S, address):
        where = set_of(address)
        way = S[XIP_VICTIM + where]
        S[XIP_TAGS + 2 * where + way] = tag_of(address)
        S[XIP_VICTIM + where] = way ^ 1


@inner
def drop_line(S: State, address: int) -> None:
    """A write through the 0x10 alias: the line leaves the cache."""
    at, tag = XIP_TAGS + 2 * set_of(address), tag_of(address)
    for way in range(2):
        if S[at + way] == tag:
            S[at + way] = 0


@far
def xip_miss(state: int, address: int, now: int, _c: int, _d: int) -> int:
    """Read from the flash itself: cycles to wait, or the negated fault where the interface is not in XIP mode."""
    S = longs_at(state, STATE_WORDS)
    if S[XIP_OFF]:
        return -FAULT_XIP_OFF
    cycles = S[XIP_WORD_CYCLES]
    if address & NO_ALLOCATE == 0 and S[XIP_CTRL] & XIP_EN:
        cycles = S[XIP_LINE_CYCLES]
        fill(S, address)
    S[XIP_FREE] = max(now, S[XIP_FREE]) + cycles
    return S[XIP_FREE] - now


@inner
def flush(S: State, now: int) -> None:
    """Empty the cache; reads wait meanwhile."""
    for i in range(XIP_TAGS, XIP_VICTIM + XIP_SETS):
        S[i] = 0
    S[XIP_FLUSHED] = now + FLUSH_CYCLES
    S[XIP_FREE] = max(S[XIP_FREE], S[XIP_FLUSHED])


@inner
def stream_plan(S: State) -> None:
    """The DMA request, and when the next word comes."""
    requests = S[DREQ_LEVEL] & ~(1 << DREQ_XIP_STREAM)
    S[DREQ_LEVEL] = requests | (1 << DREQ_XIP_STREAM if S[STREAM_COUNT] else 0)
    waits = S[STREAM_CTR] > 0 and S[STREAM_COUNT] < STREAM_DEPTH
    S[EVENT_AT + EVENT_STREAM] = S[STREAM_DUE] if waits else NEVER


@inner
def stream_next(S: State, now: int) -> None:
    """Begin to fetch the next word, if one is wanted and nothing is on its way."""
    if S[STREAM_CTR] > 0 and S[STREAM_COUNT] < STREAM_DEPTH and S[STREAM_DUE] == NEVER:
        S[XIP_FREE] = max(now, S[XIP_FREE]) + S[XIP_WORD_CYCLES]
        S[STREAM_DUE] = S[XIP_FREE]
    stream_plan(S)


@inner
def stream_take(S: State, now: int, look: bool) -> int:
    """Oldest word of the FIFO, 0 when it is empty."""
    if S[STREAM_COUNT] == 0:
        return 0
    value = S[STREAM_WORDS]
    if not look:
        S[STREAM_WORDS] = S[STREAM_WORDS + 1]
        S[STREAM_COUNT] -= 1
        stream_next(S, now)
        S[NEXT_EVENT] = now
    return value


@inner
def stream_arrives(S: State, mem: Memory, now: int) -> None:
    """A word has come from the flash."""
    while S[STREAM_DUE] <= now:
        offset = (S[STREAM_ADDR] & (FLASH_SIZE - 1)) + FLASH_OFFSET
        S[STREAM_WORDS + S[STREAM_COUNT]] = mem.words[offset >> 2] & WORD
        S[STREAM_COUNT] += 1
        S[STREAM_ADDR] += 4
        S[STREAM_CTR] -= 1
        due = S[STREAM_DUE]
        S[STREAM_DUE] = NEVER
        stream_next(S, due)


@far
def fire_stream(state: int, now: int, _b: int, _c: int, _d: int) -> int:
    """Event of the streaming FIFO."""
    S = longs_at(state, STATE_WORDS)
    stream_arrives(S, memory_of(S), now)
    return 0


@far
def read_xip(state: int, address: int, look: int, now: int, _d: int) -> int:
    """Register of XIP_CTRL, or the streaming FIFO at XIP_AUX."""
    S = longs_at(state, STATE_WORDS)
    offset = address & 0xFFF
    if address >= XIP_AUX or offset == STREAM_FIFO:
        return stream_take(S, now, look != 0)
    if offset == CTRL:
        return S[XIP_CTRL]
    if offset == FLUSH:  # the read waits for the end of the flush
        if not look:
            S[BUS_STALL] = max(0, S[XIP_FLUSHED] - now)
        return 0
    if offset == STAT:
        full = 4 if S[STREAM_COUNT] == STREAM_DEPTH else 0
        return (1 if now >= S[XIP_FLUSHED] else 0) | (2 if S[STREAM_COUNT] == 0 else 0) | full
    if offset == CTR_HIT:
        return S[XIP_HITS] & WORD
    if offset == CTR_ACC:
        return S[XIP_ACCESSES] & WORD
    if offset == STREAM_ADDR_REG:
        return S[STREAM_ADDR]
    return S[STREAM_CTR] if offset == STREAM_CTR_REG else -1


@far
def write_xip(state: int, address: int, value: int, now: int, _d: int) -> int:
    """Write a register of XIP_CTRL."""
    S = longs_at(state, STATE_WORDS)
    offset = address & 0xFFF
    if address >= XIP_AUX:
        return -1
    if offset == CTRL:
        value &= 0xB
        S[XIP_CTRL] = value & ~XIP_EN if value & XIP_POWER_DOWN else value
    elif offset == FLUSH:
        if value & 1:
            flush(S, now)
    elif offset == CTR_HIT:
        S[XIP_HITS] = 0
    elif offset == CTR_ACC:
        S[XIP_ACCESSES] = 0
    elif offset == STREAM_ADDR_REG:
        S[STREAM_ADDR] = (value & 0xFFFFFC) | FLASH_BASE
    elif offset == STREAM_CTR_REG:  # 0 ends it; a word that is on its way is dropped
        S[STREAM_CTR], S[STREAM_DUE] = value & 0x3FFFFF, NEVER
        if S[STREAM_CTR] == 0:
            S[STREAM_COUNT] = 0
        stream_next(S, now)
    elif offset not in (STAT, STREAM_FIFO):
        return -1
    return 0
