"""FIFOs, flags and requests of the PIO, and what wakes a machine that waits for them. RP2040 datasheet 3.5.4, 3.5.6."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.lines import set_lines
from firmware_sim.rp2040.blocks.pio_layout import (
    AUTOPULL,
    DIVIDER,
    ENABLED,
    FDEBUG,
    FIFO_BITS,
    FIFO_DEPTH,
    FIFO_RX,
    FIFO_TX,
    FJOIN_RX,
    FJOIN_TX,
    INTE0,
    INTE1,
    INTF0,
    INTF1,
    IRQ,
    IRQ_BEFORE,
    IRQ_CYCLE,
    MACHINE,
    MACHINE_STRIDE,
    MACHINES,
    NEXT,
    OSR,
    OSR_COUNT,
    PHASE,
    REQUESTED,
    RX_COUNT,
    RX_HEAD,
    RXUNDER,
    SHIFTCTRL,
    STALL,
    TX_COUNT,
    TX_HEAD,
    TXOVER,
    WAIT_IRQ,
    WAIT_RX,
    WAIT_TX,
    WOKEN,
)
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import DREQ_LEVEL, LINES, NEXT_EVENT, PIO, WORD, State

PIO_IRQ = 7  # PIO0_IRQ_0; then PIO0_IRQ_1, PIO1_IRQ_0, PIO1_IRQ_1


@inner
def tx_depth(S: State, m: int) -> int:
    """Words of the TX FIFO."""
    if S[m + SHIFTCTRL] & FJOIN_RX:
        return 0
    return 2 * FIFO_DEPTH if S[m + SHIFTCTRL] & FJOIN_TX else FIFO_DEPTH


@inner
def rx_depth(S: State, m: int) -> int:
    """Words of the RX FIFO."""
    if S[m + SHIFTCTRL] & FJOIN_TX:
        return 0
    return 2 * FIFO_DEPTH if S[m + SHIFTCTRL] & FJOIN_RX else FIFO_DEPTH


@inner
def pull_threshold(S: State, m: int) -> int:
    """Bits after which the OSR counts as empty."""
    return ((S[m + SHIFTCTRL] >> 25) - 1 & 31) + 1


@inner
def push_threshold(S: State, m: int) -> int:
    """Bits after which the ISR counts as full."""
    return ((S[m + SHIFTCTRL] >> 20) - 1 & 31) + 1


@inner
def pio_intr(S: State, p: int) -> int:
    """INTR of the block that begins at `p`."""
    return S[p + FIFO_BITS] | (S[p + IRQ] & 15) << 8


@inner
def pio_lines(S: State, p: int) -> None:
    """Drive the two interrupt lines of a block."""
    intr = pio_intr(S, p)
    first = PIO_IRQ + (2 if p > PIO else 0)
    high = 1 << first if (intr & S[p + INTE0]) | S[p + INTF0] else 0
    if (intr & S[p + INTE1]) | S[p + INTF1]:
        high |= 2 << first
    if high != S[LINES] & 3 << first:
        set_lines(S, 3 << first, high)
        S[NEXT_EVENT] = 0


@inner
def pio_levels(S: State, p: int, sm: int) -> None:
    """The FIFOs of a machine changed: DMA requests and interrupts."""
    m = p + MACHINE + sm * MACHINE_STRIDE
    bits = S[p + FIFO_BITS] & ~(0x11 << sm)
    if S[m + RX_COUNT] > 0:
        bits |= 1 << sm
    if S[m + TX_COUNT] < tx_depth(S, m):
        bits |= 0x10 << sm
    if bits != S[p + FIFO_BITS]:
        S[p + FIFO_BITS] = bits
        shift = 8 if p > PIO else 0
        S[DREQ_LEVEL] = (S[DREQ_LEVEL] & ~(0xFF << shift)) | ((bits >> 4 & 15) | (bits & 15) << 4) << shift
        S[REQUESTED] = 1
        if S[p + INTE0] | S[p + INTE1]:
            pio_lines(S, p)


@inner
def tick_from(S: State, m: int, cycle: int) -> int:
    """The first tick behind PHASE that is not before `cycle`, in 1/256 cycles."""
    divider = S[m + DIVIDER]
    ticks = ((cycle << 8) - S[m + PHASE] + divider - 1) // divider
    return S[m + PHASE] + max(1, ticks) * divider


@inner
def wake(S: State, m: int, cycle: int) -> None:
    """Let a stalled machine look again at its first tick from `cycle` on."""
    S[m + NEXT] = tick_from(S, m, cycle)
    S[WOKEN] = 1


@inner
def take_tx(S: State, p: int, sm: int) -> int:
    """A machine takes the oldest word of its TX FIFO, which is not empty."""
    m = p + MACHINE + sm * MACHINE_STRIDE
    value = S[m + FIFO_TX + S[m + TX_HEAD]]
    S[m + TX_HEAD] = (S[m + TX_HEAD] + 1) & 7
    S[m + TX_COUNT] -= 1
    pio_levels(S, p, sm)
    return value


@inner
def give_rx(S: State, p: int, sm: int, value: int) -> None:
    """A machine puts a word into its RX FIFO, which is not full."""
    m = p + MACHINE + sm * MACHINE_STRIDE
    S[m + FIFO_RX + ((S[m + RX_HEAD] + S[m + RX_COUNT]) & 7)] = value
    S[m + RX_COUNT] += 1
    pio_levels(S, p, sm)


@inner
def refill(S: State, p: int, sm: int) -> None:
    """Autopull beside an instruction that is no OUT: an empty OSR takes a word when there is one."""
    m = p + MACHINE + sm * MACHINE_STRIDE
    if S[m + SHIFTCTRL] & AUTOPULL and S[m + TX_COUNT] and S[m + OSR_COUNT] >= pull_threshold(S, m):
        S[m + OSR] = take_tx(S, p, sm)
        S[m + OSR_COUNT] = 0


@inner
def pio_push(S: State, p: int, sm: int, value: int, now: int) -> None:
    """The bus writes TXFn."""
    m = p + MACHINE + sm * MACHINE_STRIDE
    if S[m + TX_COUNT] >= tx_depth(S, m):
        S[p + FDEBUG] |= 1 << (TXOVER + sm)
        return
    S[m + FIFO_TX + ((S[m + TX_HEAD] + S[m + TX_COUNT]) & 7)] = value & WORD
    S[m + TX_COUNT] += 1
    pio_levels(S, p, sm)
    if S[m + STALL] == WAIT_TX:
        wake(S, m, now + 1)
    elif S[p + ENABLED] >> sm & 1 and S[m + NEXT] > tick_from(S, m, now + 1):
        refill(S, p, sm)  # during a delay or another stall


@inner
def pio_pop(S: State, p: int, sm: int, now: int) -> int:
    """The bus reads RXFn."""
    m = p + MACHINE + sm * MACHINE_STRIDE
    value = S[m + FIFO_RX + S[m + RX_HEAD]]
    if S[m + RX_COUNT] == 0:
        S[p + FDEBUG] |= 1 << (RXUNDER + sm)
        return value
    S[m + RX_HEAD] = (S[m + RX_HEAD] + 1) & 7
    S[m + RX_COUNT] -= 1
    pio_levels(S, p, sm)
    if S[m + STALL] == WAIT_RX:
        wake(S, m, now + 1)
    return value


@inner
def flags_at(S: State, p: int, cycle: int) -> int:
    """The IRQ flags that a machine sees at a cycle: what another one does in the same cycle comes later."""
    return S[p + IRQ] if cycle > S[p + IRQ_CYCLE] else S[p + IRQ_BEFORE]


@inner
def pio_flags(S: State, p: int, flags: int, cycle: int) -> None:
    """Change the IRQ flags at a cycle; machines that wait for flags look again one cycle later."""
    if cycle > S[p + IRQ_CYCLE]:
        S[p + IRQ_BEFORE], S[p + IRQ_CYCLE] = S[p + IRQ], cycle
    if flags != S[p + IRQ]:
        S[p + IRQ] = flags
        pio_lines(S, p)
        for sm in range(MACHINES):
            m = p + MACHINE + sm * MACHINE_STRIDE
            if S[m + STALL] == WAIT_IRQ:
                wake(S, m, cycle + 1)


@inner
def empty_fifos(S: State, p: int, sm: int, now: int) -> None:
    """FJOIN changed: both FIFOs lose what they hold."""
    m = p + MACHINE + sm * MACHINE_STRIDE
    S[m + TX_HEAD] = S[m + TX_COUNT] = S[m + RX_HEAD] = S[m + RX_COUNT] = 0
    pio_levels(S, p, sm)
    if S[m + STALL] in (WAIT_RX, WAIT_TX):
        wake(S, m, now + 1)
