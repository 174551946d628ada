"""PIO0 and PIO1: the registers. RP2040 datasheet 3.7; the machines are in pio_machine.py.

The caller has brought the machines up to the present cycle (lazy.py).
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.pio_fifo import (
    PIO_IRQ,
    empty_fifos,
    pio_flags,
    pio_intr,
    pio_lines,
    pio_pop,
    pio_push,
    rx_depth,
    tick_from,
    tx_depth,
)
from firmware_sim.rp2040.blocks.pio_layout import (
    AFTER_FORCED,
    CLKDIV,
    DELAY_LEFT,
    DIVIDER,
    ENABLED,
    EXEC,
    EXECCTRL,
    FDEBUG,
    FIFO_BITS,
    FIFO_DEPTH,
    FJOIN_RX,
    FJOIN_TX,
    FORCED,
    FORCED_NOW,
    INSTRUCTIONS,
    INTE0,
    INTE1,
    IRQ,
    IRQ_WAITING,
    ISR,
    ISR_COUNT,
    MACHINE,
    MACHINE_STRIDE,
    MACHINES,
    MEMORY,
    NEXT,
    OSR_COUNT,
    PC,
    PHASE,
    PINCTRL,
    RUNNING,
    RX_COUNT,
    RXSTALL,
    RXUNDER,
    SHIFTCTRL,
    STALE,
    STALL,
    STALLED,
    STICKY,
    STICKY_MASK,
    SYNC_BYPASS,
    TX_COUNT,
    TXOVER,
    TXSTALL,
    WAIT_NOTHING,
)
from firmware_sim.rp2040.blocks.pio_pins import FUNCTION_PIO0
from firmware_sim.rp2040.blocks.pio_run import pio_watch
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import (
    DREQ_LEVEL,
    LINES,
    PIN_OE,
    PIN_OUT,
    PIO,
    PIO_STRIDE,
    WORD,
    WRITTEN,
    State,
)
from firmware_sim.rp2040.registers import RegisterBlock

OFF_CTRL, OFF_FSTAT, OFF_FDEBUG, OFF_FLEVEL, OFF_TXF0, OFF_RXF0 = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x20
OFF_IRQ, OFF_IRQ_FORCE, OFF_INPUT_SYNC_BYPASS = 0x30, 0x34, 0x38
OFF_DBG_PADOUT, OFF_DBG_PADOE, OFF_DBG_CFGINFO = 0x3C, 0x40, 0x44
OFF_INSTR_MEM0, OFF_SM0_CLKDIV, OFF_INTR, OFF_IRQ0_INTE, OFF_IRQ1_INTS = 0x48, 0xC8, 0x128, 0x12C, 0x140
MACHINE_BYTES = 0x18
SM_CLKDIV, SM_EXECCTRL, SM_SHIFTCTRL, SM_ADDR, SM_INSTR, SM_PINCTRL = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
EXEC_STALLED = 1 << 31


class Pio(RegisterBlock):
    """A block for Python: only RESETS and power-on come here."""

    def reset(self) -> None:
        """Give every register its reset value."""
        super().reset()
        S, block = self.S, int(self.name == "PIO1")
        p = PIO + block * PIO_STRIDE
        S[p : p + MACHINE + MACHINES * MACHINE_STRIDE] = 0
        for sm in range(MACHINES):
            m = p + MACHINE + sm * MACHINE_STRIDE
            S[m + CLKDIV], S[m + DIVIDER] = 1 << 16, 256
            S[m + EXECCTRL], S[m + SHIFTCTRL], S[m + PINCTRL] = 0x1F << 12, 3 << 18, 5 << 26
            S[m + OSR_COUNT], S[m + EXEC], S[m + NEXT] = 32, -1, STALLED
        S[p + FIFO_BITS] = 0xF0
        S[DREQ_LEVEL] = (S[DREQ_LEVEL] & ~(0xFF << 8 * block)) | 0xF << 8 * block
        S[RUNNING] &= ~(15 << MACHINES * block)
        S[STALE] = 1
        S[STICKY] &= ~(15 << MACHINES * block)
        S[LINES] &= ~(3 << (PIO_IRQ + 2 * block))
        S[PIN_OUT + FUNCTION_PIO0 + block] = S[PIN_OE + FUNCTION_PIO0 + block] = 0


@inner
def pio_status(S: State, p: int, levels: bool) -> int:
    """FSTAT, or FLEVEL."""
    value = 0
    for sm in range(MACHINES):
        m = p + MACHINE + sm * MACHINE_STRIDE
        tx, rx = S[m + TX_COUNT], S[m + RX_COUNT]
        if levels:
            value |= (tx | rx << 4) << 8 * sm
        else:
            bits = (1 << TXSTALL if tx == 0 else 0) | (1 << TXOVER if tx >= tx_depth(S, m) else 0)
            bits |= (1 << RXUNDER if rx == 0 else 0) | (1 << RXSTALL if rx >= rx_depth(S, m) else 0)
            value |= bits << sm
    return value


@inner
def pio_read_machine(S: State, p: int, m: int, offset: int) -> int:
    """A register of one machine."""
    if offset == SM_CLKDIV:
        return S[m + CLKDIV]
    if offset == SM_EXECCTRL:
        return S[m + EXECCTRL] | (EXEC_STALLED if S[m + FORCED] else 0)
    if offset == SM_SHIFTCTRL:
        return S[m + SHIFTCTRL]
    if offset == SM_ADDR:
        return S[m + PC]
    if offset == SM_INSTR:
        return S[m + EXEC] if S[m + EXEC] >= 0 else S[p + MEMORY + S[m + PC]]
    return S[m + PINCTRL]


@inner
def pio_read(S: State, p: int, offset: int, now: int, look: bool) -> int:
    """Register at `offset` of the block whose words begin at `p`, -1 when there is none; `look` takes nothing."""
    if OFF_RXF0 <= offset < OFF_IRQ:
        if not look:
            return pio_pop(S, p, (offset - OFF_RXF0) >> 2, now)
        return 0
    if OFF_SM0_CLKDIV <= offset < OFF_INTR:
        sm, word = (offset - OFF_SM0_CLKDIV) // MACHINE_BYTES, (offset - OFF_SM0_CLKDIV) % MACHINE_BYTES
        return pio_read_machine(S, p, p + MACHINE + sm * MACHINE_STRIDE, word)
    if OFF_INTR <= offset <= OFF_IRQ1_INTS:
        intr, index = pio_intr(S, p), (offset - OFF_INTR) >> 2
        if index == 0:
            return intr
        first = INTE0 if index <= 3 else INTE1
        if (index - 1) % 3 < 2:
            return S[p + first + (index - 1) % 3]
        return (intr & S[p + first]) | S[p + first + 1]
    drive = FUNCTION_PIO0 + (1 if p > PIO else 0)
    if offset == OFF_CTRL:
        return S[p + ENABLED]
    if offset in (OFF_FSTAT, OFF_FLEVEL):
        return pio_status(S, p, offset == OFF_FLEVEL)
    if offset == OFF_FDEBUG:
        return S[p + FDEBUG]
    if offset == OFF_IRQ:
        return S[p + IRQ]
    if offset == OFF_INPUT_SYNC_BYPASS:
        return S[p + SYNC_BYPASS]
    if offset == OFF_DBG_PADOUT:
        return S[PIN_OUT + drive]
    if offset == OFF_DBG_PADOE:
        return S[PIN_OE + drive]
    if offset == OFF_DBG_CFGINFO:
        return INSTRUCTIONS << 16 | MACHINES << 8 | FIFO_DEPTH
    return 0 if offset < OFF_SM0_CLKDIV else -1  # TXFn, IRQ_FORCE and INSTR_MEM are write-only


@inner
def pio_restart(S: State, m: int, sm_bit: int, now: int) -> None:
    """SM_RESTART: the inner state that no other register reaches."""
    S[m + ISR] = S[m + ISR_COUNT] = S[m + DELAY_LEFT] = S[m + IRQ_WAITING] = S[m + FORCED] = 0
    S[m + OSR_COUNT], S[m + EXEC], S[m + STALL] = 32, -1, WAIT_NOTHING
    S[m + STICKY_MASK] = S[m + STICKY_MASK + 1] = 0
    S[STICKY] &= ~sm_bit
    S[m + NEXT] = tick_from(S, m, now + 1)


@inner
def pio_control(S: State, p: int, value: int, now: int) -> None:
    """CTRL: enable, restart, and restart clock dividers."""
    for sm in range(MACHINES):
        m, sm_bit = p + MACHINE + sm * MACHINE_STRIDE, 1 << (sm + (MACHINES if p > PIO else 0))
        enabled, enable = S[p + ENABLED] >> sm & 1, value >> sm & 1
        first = tick_from(S, m, now + 1)
        if enabled and not enable:
            S[m + DELAY_LEFT] = 0 if S[m + STALL] else (S[m + NEXT] - first) // S[m + DIVIDER]
        elif enabled and S[m + NEXT] < STALLED:
            S[m + DELAY_LEFT] = max(0, S[m + NEXT] - first) // S[m + DIVIDER]
        if value >> (8 + sm) & 1:  # CLKDIV_RESTART: the divider counts down from its integer part
            S[m + PHASE] = ((now + max(1, S[m + CLKDIV] >> 16)) << 8) - S[m + DIVIDER]
            first = S[m + PHASE] + S[m + DIVIDER]
        if value >> (4 + sm) & 1:
            pio_restart(S, m, sm_bit, now)
        if enable and (not enabled or value >> (8 + sm) & 1) and not (enabled and S[m + NEXT] == STALLED):
            S[m + NEXT] = first + S[m + DELAY_LEFT] * S[m + DIVIDER]
        if enable:
            S[RUNNING] |= sm_bit
        elif not S[m + FORCED]:
            S[RUNNING] &= ~sm_bit
    S[p + ENABLED] = value & 15
    pio_watch(S, now)


@inner
def pio_force(S: State, p: int, sm: int, instruction: int, now: int) -> None:
    """SMx_INSTR: execute in the next cycle, whatever the machine does and whether it is enabled or not."""
    m = p + MACHINE + sm * MACHINE_STRIDE
    if S[m + FORCED] != FORCED_NOW:
        S[m + AFTER_FORCED] = S[m + NEXT] if S[m + FORCED] == 0 and S[m + STALL] == WAIT_NOTHING else STALLED
    S[m + IRQ_WAITING], S[m + EXEC], S[m + FORCED] = 0, instruction, FORCED_NOW
    S[m + NEXT] = (now + 1) << 8
    S[RUNNING] |= 1 << (sm + (MACHINES if p > PIO else 0))


@inner
def pio_write_machine(S: State, p: int, sm: int, offset: int, value: int, now: int) -> None:
    """Write a register of one machine."""
    m = p + MACHINE + sm * MACHINE_STRIDE
    if offset == SM_CLKDIV:
        first = tick_from(S, m, now + 1)
        S[m + CLKDIV] = value & 0xFFFFFF00
        S[m + DIVIDER] = value >> 8 if value >> 16 else 0x10000 << 8
        if S[m + NEXT] == STALLED or not S[p + ENABLED] >> sm & 1:
            S[m + PHASE] = first - S[m + DIVIDER]
    elif offset == SM_EXECCTRL:
        S[m + EXECCTRL] = value & 0x7FFFFF9F
    elif offset == SM_SHIFTCTRL:
        joined = (S[m + SHIFTCTRL] ^ value) & (FJOIN_RX | FJOIN_TX)
        S[m + SHIFTCTRL] = value & 0xFFFF0000
        if joined:
            empty_fifos(S, p, sm, now)
    elif offset == SM_INSTR:
        pio_force(S, p, sm, value & 0xFFFF, now)
    elif offset == SM_PINCTRL:
        S[m + PINCTRL] = value
    if offset in (SM_EXECCTRL, SM_PINCTRL) and S[RUNNING]:
        pio_watch(S, now)


@inner
def pio_write(S: State, p: int, offset: int, value: int, now: int) -> int:
    """Write the register at `offset` of the block whose words begin at `p`; -1 when there is none."""
    if OFF_INSTR_MEM0 <= offset < OFF_INTR:
        S[STALE] = 1
    if OFF_TXF0 <= offset < OFF_RXF0:
        pio_push(S, p, (offset - OFF_TXF0) >> 2, value, now)
    elif OFF_INSTR_MEM0 <= offset < OFF_SM0_CLKDIV:
        S[p + MEMORY + ((offset - OFF_INSTR_MEM0) >> 2)] = value & 0xFFFF
        if S[RUNNING]:
            pio_watch(S, now)
    elif OFF_SM0_CLKDIV <= offset < OFF_INTR:
        sm, word = (offset - OFF_SM0_CLKDIV) // MACHINE_BYTES, (offset - OFF_SM0_CLKDIV) % MACHINE_BYTES
        pio_write_machine(S, p, sm, word, value, now)
    elif OFF_IRQ0_INTE <= offset <= OFF_IRQ1_INTS:
        index = (offset - OFF_IRQ0_INTE) >> 2
        if index % 3 < 2:
            S[p + (INTE0 if index < 3 else INTE1) + index % 3] = value & 0xFFF
        pio_lines(S, p)
    elif offset == OFF_CTRL:
        pio_control(S, p, value, now)
    elif offset == OFF_FDEBUG:
        S[p + FDEBUG] &= ~S[WRITTEN]
    elif offset == OFF_IRQ:
        pio_flags(S, p, S[p + IRQ] & ~S[WRITTEN] & 0xFF, now)
    elif offset == OFF_IRQ_FORCE:
        pio_flags(S, p, S[p + IRQ] | (S[WRITTEN] & 0xFF), now)
    elif offset == OFF_INPUT_SYNC_BYPASS:
        S[p + SYNC_BYPASS] = value & WORD
    elif offset > OFF_INTR:
        return -1
    return 0
