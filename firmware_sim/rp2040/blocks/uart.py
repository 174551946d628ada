"""UART0 and UART1: PL011 with 32-deep FIFOs, timed at the programmed baud rate. RP2040 datasheet 4.2, ARM DDI 0183.

Bytes that the host sends wait in a queue until the firmware has enabled the receiver (and, with RTSEN, asks for them),
then arrive one character time apart, with the line errors that the host gave them. What the chip sends reaches the host
at the end of its stop bit. IBRD and FBRD take effect with the next write of LCR_H, as on the chip. A firmware that
writes UARTDR before enabling the UART sends nothing on a board; here the bytes come out at FALLBACK_BAUD and WARNED
says so, because a silent emulator helps nobody.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.lines import set_lines
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import (
    CLK_PERI_HZ,
    CLK_SYS_HZ,
    DREQ_LEVEL,
    EVENT_AT,
    EVENT_UART0,
    EXIT,
    EXIT_UART,
    LINES,
    NEVER,
    UART_IN_ENTRIES,
    UART_OUT_BYTES,
    UART_STOP_BYTE,
    WRITTEN,
    Bytes,
    State,
)

UARTDR, UARTRSR, UARTFR, UARTILPR, UARTIBRD, UARTFBRD, UARTLCR_H, UARTCR = (
    0x00,
    0x04,
    0x18,
    0x20,
    0x24,
    0x28,
    0x2C,
    0x30,
)
UARTIFLS, UARTIMSC, UARTRIS, UARTMIS, UARTICR, UARTDMACR = 0x34, 0x38, 0x3C, 0x40, 0x44, 0x48
UARTPERIPHID0 = 0xFE0

# State, from the UART's base.
IBRD, FBRD, LCR_H, CR, IFLS, IMSC, RIS, DMACR, RSR = 0, 1, 2, 3, 4, 5, 6, 7, 8
TX_HEAD, TX_COUNT, TX_BUSY, TX_BYTE, TX_EVENT = 9, 10, 11, 12, 13
RX_HEAD, RX_COUNT, RX_EVENT, TIMEOUT_EVENT, OVERRUN = 14, 15, 16, 17, 18
OUT_COUNT, IN_HEAD, IN_TAIL, WARNED, IRQ, ILPR = 19, 20, 21, 22, 23, 24
DIVISOR = 25  # IBRD * 64 + FBRD as latched by the last write of LCR_H
CTS_OFF = 26  # 1: the host has taken its clear-to-send away
BREAK_SENT = 27  # 1: the break that the chip sends has been looped back
TX_FIFO, RX_FIFO = 32, 64  # [32] each; a received entry is the byte and its error bits 8-11

FALLBACK_BAUD = 115200
ENABLE, TXE, RXE, LOOPBACK, RTS, RTSEN, CTSEN = 1, 1 << 8, 1 << 9, 1 << 7, 1 << 11, 1 << 14, 1 << 15
CTS_INT, RX_INT, TX_INT, RT_INT, OE_INT = 1 << 1, 1 << 4, 1 << 5, 1 << 6, 1 << 10
FE, PE, BE, OE = 1, 2, 4, 8  # errors of a character: UARTRSR, UARTDR >> 8, and raw interrupts << 7
BRK, FEN = 1, 1 << 4  # LCR_H
RXDMAE, TXDMAE, DMAONERR = 1, 2, 4
TIMEOUT_BITS = 32
DREQ_UART0_TX = 20  # then UART0 RX, UART1 TX, UART1 RX
UART0_IRQ = 20


@inner
def uart_depth(S: State, u: int) -> int:
    """32 with FIFOs enabled (FEN), else one character."""
    return 32 if S[u + LCR_H] & 0x10 else 1


@inner
def uart_level(S: State, u: int, field: int) -> int:
    """Characters at which the FIFO interrupts: 1/8, 1/4, 1/2, 3/4 or 7/8 of 32; 1 without FIFOs."""
    if not S[u + LCR_H] & 0x10:
        return 1
    select = (S[u + IFLS] >> field) & 7
    if select == 0:
        return 4
    if select == 1:
        return 8
    if select == 2:
        return 16
    if select == 3:
        return 24
    return 28


@inner
def uart_tx_level(S: State, u: int) -> int:
    """Falling to this many characters interrupts; without FIFOs that is 0."""
    return uart_level(S, u, 0) if S[u + LCR_H] & 0x10 else 0


@inner
def uart_runs(S: State, u: int) -> bool:
    """Whether the UART is enabled, clocked and has a baud rate."""
    return (S[u + CR] & ENABLE) != 0 and S[CLK_PERI_HZ] > 0 and S[u + DIVISOR] >= 64


@inner
def uart_clear_to_send(S: State, u: int) -> bool:
    """Level of CTS as FR shows it: the host's, or RTS in loop back."""
    if S[u + CR] & LOOPBACK:
        return (S[u + CR] & RTS) != 0
    return S[u + CTS_OFF] == 0


@inner
def uart_may_send(S: State, u: int) -> bool:
    """Whether a character may leave the FIFO; a UART that does not run sends too, see the file's head."""
    if not uart_runs(S, u):
        return True
    if S[u + LCR_H] & BRK or not S[u + CR] & TXE:
        return False
    return (S[u + CR] & CTSEN) == 0 or uart_clear_to_send(S, u)


@inner
def uart_listens(S: State, u: int) -> bool:
    """Whether the chip takes a character from the host: receiving, not looped back, and RTS not taken away."""
    if not uart_runs(S, u) or (S[u + CR] & (RXE | LOOPBACK)) != RXE:
        return False
    return (S[u + CR] & RTSEN) == 0 or S[u + RX_COUNT] < uart_level(S, u, 3)


@inner
def uart_bit_cycles(S: State, u: int, bits: int) -> int:
    """Cycles of clk_sys that `bits` bits take: 16 * (IBRD + FBRD / 64) of clk_peri each."""
    if not uart_runs(S, u):
        return max(1, S[CLK_SYS_HZ] * bits // FALLBACK_BAUD)
    quarter = bits * S[u + DIVISOR]
    if S[CLK_PERI_HZ] == S[CLK_SYS_HZ]:
        return max(1, quarter >> 2)
    return max(1, quarter * S[CLK_SYS_HZ] // (4 * S[CLK_PERI_HZ]))


@inner
def uart_character_cycles(S: State, u: int) -> int:
    """Cycles of a character: start, 5-8 data, parity and stop bits."""
    lcr = S[u + LCR_H]
    return uart_bit_cycles(S, u, 1 + 5 + ((lcr >> 5) & 3) + ((lcr >> 1) & 1) + 1 + ((lcr >> 3) & 1))


@inner
def uart_lines(S: State, u: int) -> None:
    """Drive the interrupt line and the DMA requests: room in one FIFO, a character in the other."""
    bit = 1 << S[u + IRQ]
    set_lines(S, bit, bit if S[u + RIS] & S[u + IMSC] else 0)
    control = S[u + DMACR]
    requests = 0
    if control & TXDMAE and S[u + CR] & ENABLE and S[u + TX_COUNT] < uart_depth(S, u):
        requests = 1
    if control & RXDMAE and S[u + RX_COUNT] > 0 and not (control & DMAONERR and S[u + RIS] & (15 << 7)):
        requests |= 2
    shift = DREQ_UART0_TX + 2 * (S[u + IRQ] - UART0_IRQ)
    S[DREQ_LEVEL] = (S[DREQ_LEVEL] & ~(3 << shift)) | (requests << shift)


@inner
def uart_word(S: State, u: int) -> int:
    """Mask of the 5 to 8 data bits; 8 where nothing is set up."""
    if not uart_runs(S, u):
        return 255
    return (32 << ((S[u + LCR_H] >> 5) & 3)) - 1


@inner
def uart_start_next(S: State, u: int, now: int) -> None:
    """Move the next character of the FIFO into the shift register."""
    if S[u + TX_BUSY] or S[u + TX_COUNT] == 0 or not uart_may_send(S, u):
        return
    S[u + TX_BYTE] = S[u + TX_FIFO + S[u + TX_HEAD]]
    S[u + TX_HEAD] = (S[u + TX_HEAD] + 1) & 31
    S[u + TX_COUNT] -= 1
    if S[u + TX_COUNT] == uart_tx_level(S, u):
        S[u + RIS] |= TX_INT
    S[u + TX_BUSY] = 1
    S[u + TX_EVENT] = now + uart_character_cycles(S, u)


@inner
def uart_receive(S: State, u: int, value: int, now: int) -> None:
    """A character arrived, with its errors in bits 8-10. An overrun is told with the next one that fits (2.4.3)."""
    if S[u + RX_COUNT] >= uart_depth(S, u):
        S[u + OVERRUN] = 1
        S[u + RSR] |= OE
        S[u + RIS] |= OE_INT
    else:
        S[u + RIS] |= ((value >> 8) & 7) << 7
        S[u + RX_FIFO + ((S[u + RX_HEAD] + S[u + RX_COUNT]) & 31)] = value | (S[u + OVERRUN] << 11)
        S[u + OVERRUN] = 0
        S[u + RX_COUNT] += 1
        if S[u + RX_COUNT] >= uart_level(S, u, 3):
            S[u + RIS] |= RX_INT
    S[u + TIMEOUT_EVENT] = now + uart_bit_cycles(S, u, TIMEOUT_BITS) if S[u + LCR_H] & 0x10 else NEVER


@inner
def uart_poll_host(S: State, u: int, now: int) -> None:
    """Schedule the next character from the host, once the receiver is enabled."""
    if S[u + RX_EVENT] == NEVER and S[u + IN_HEAD] != S[u + IN_TAIL] and uart_listens(S, u):
        S[u + RX_EVENT] = now + uart_character_cycles(S, u)


@inner
def uart_fire(S: State, uarts: Bytes, u: int, buffer: int, now: int) -> None:
    """Do what is due at the cycle `now`; `buffer` is where the UART's part of `uarts` begins."""
    if S[u + TX_EVENT] <= now:
        S[u + TX_EVENT] = NEVER
        S[u + TX_BUSY] = 0
        uarts[buffer + S[u + OUT_COUNT]] = S[u + TX_BYTE]
        S[u + OUT_COUNT] += 1
        if (S[u + CR] & (LOOPBACK | RXE)) == LOOPBACK | RXE:
            uart_receive(S, u, S[u + TX_BYTE], now)
        if S[u + OUT_COUNT] >= UART_OUT_BYTES // 2 or S[u + TX_BYTE] == S[UART_STOP_BYTE]:
            S[EXIT] = EXIT_UART
        uart_start_next(S, u, now)
    if S[u + RX_EVENT] <= now:
        S[u + RX_EVENT] = NEVER
        if uart_runs(S, u) and S[u + CR] & RXE:  # else it waits until the receiver is enabled again
            entry = buffer + UART_OUT_BYTES + 2 * S[u + IN_HEAD]
            uart_receive(S, u, (uarts[entry] & uart_word(S, u)) | (uarts[entry + 1] << 8), now)
            S[u + IN_HEAD] = (S[u + IN_HEAD] + 1) & (UART_IN_ENTRIES - 1)
        uart_poll_host(S, u, now)
    if S[u + TIMEOUT_EVENT] <= now:
        S[u + TIMEOUT_EVENT] = NEVER
        if S[u + RX_COUNT] > 0:
            S[u + RIS] |= RT_INT
    uart_lines(S, u)


@inner
def uart_read(S: State, u: int, offset: int, now: int, look: bool) -> int:
    """Register at `offset`, -1 when there is none; `look` takes nothing from the FIFO."""
    if offset == UARTFR:
        flags = (0x80 if S[u + TX_COUNT] == 0 else 0) | (0x10 if S[u + RX_COUNT] == 0 else 0)
        flags |= 0x20 if S[u + TX_COUNT] >= uart_depth(S, u) else 0
        flags |= 0x40 if S[u + RX_COUNT] >= uart_depth(S, u) else 0
        flags |= 1 if uart_clear_to_send(S, u) else 0
        return flags | (0x08 if S[u + TX_BUSY] or S[u + TX_COUNT] else 0)
    if offset == UARTDR:
        value = S[u + RX_FIFO + S[u + RX_HEAD]]
        if S[u + RX_COUNT] and not look:
            S[u + RX_HEAD] = (S[u + RX_HEAD] + 1) & 31
            S[u + RX_COUNT] -= 1
            S[u + RSR] = (S[u + RSR] & OE) | ((value >> 8) & 15)
            if S[u + RX_COUNT] < uart_level(S, u, 3):
                S[u + RIS] &= ~RX_INT
            if S[u + RX_COUNT] == 0:
                S[u + RIS] &= ~RT_INT
                S[u + TIMEOUT_EVENT] = NEVER
            uart_lines(S, u)
            uart_poll_host(S, u, now)
        return value
    if offset == UARTRSR:
        return S[u + RSR]
    if offset == UARTILPR:
        return S[u + ILPR]
    if UARTIBRD <= offset <= UARTRIS:
        return S[u + IBRD + ((offset - UARTIBRD) >> 2)]
    if offset == UARTMIS:
        return S[u + RIS] & S[u + IMSC]
    if offset == UARTDMACR:
        return S[u + DMACR]
    if UARTPERIPHID0 <= offset <= 0xFFC:
        shift = ((offset - UARTPERIPHID0) >> 2) * 8
        return ((0x00341011 if shift < 32 else 0xB105F00D) >> (shift & 31)) & 255
    return 0 if offset == UARTICR else -1


@inner
def uart_send(S: State, u: int, value: int, now: int) -> None:
    """A character was written to UARTDR; one too many is lost, as on the chip."""
    if S[u + TX_COUNT] >= uart_depth(S, u):
        return
    if not (uart_runs(S, u) and S[u + CR] & TXE) and S[u + WARNED] == 0:
        S[u + WARNED] = 1
    S[u + TX_FIFO + ((S[u + TX_HEAD] + S[u + TX_COUNT]) & 31)] = value & uart_word(S, u)
    S[u + TX_COUNT] += 1
    if S[u + TX_COUNT] > uart_tx_level(S, u):
        S[u + RIS] &= ~TX_INT
    uart_start_next(S, u, now)


@inner
def uart_break(S: State, u: int, now: int) -> None:
    """LCR_H's BRK holds the line low; looped back it is received as one character of zeros."""
    if not S[u + LCR_H] & BRK:
        S[u + BREAK_SENT] = 0
    elif S[u + BREAK_SENT] == 0 and uart_runs(S, u) and (S[u + CR] & (LOOPBACK | RXE)) == LOOPBACK | RXE:
        S[u + BREAK_SENT] = 1
        uart_receive(S, u, (BE | FE) << 8, now)


@inner
def uart_clear_to_send_changes(S: State, u: int, off: int, now: int) -> None:
    """The host gives (off 0) or takes (off 1) its clear-to-send."""
    if S[u + CTS_OFF] != off:
        S[u + CTS_OFF] = off
        S[u + RIS] |= CTS_INT
        uart_start_next(S, u, now)
        uart_lines(S, u)


@inner
def uart_write(S: State, u: int, offset: int, value: int, now: int) -> int:
    """Write the register at `offset`; -1 when there is none."""
    if offset == UARTDR:
        uart_send(S, u, value, now)
    elif offset == UARTRSR:
        S[u + RSR] = 0
    elif offset == UARTIBRD:
        S[u + IBRD] = value & 0xFFFF
    elif offset == UARTFBRD:
        S[u + FBRD] = value & 0x3F
    elif offset == UARTLCR_H:
        if (S[u + LCR_H] ^ value) & 0x10:  # FEN changes: the FIFOs are emptied
            S[u + TX_COUNT], S[u + RX_COUNT] = 0, 0
        S[u + LCR_H] = value & 0xFF
        S[u + DIVISOR] = S[u + IBRD] * 64 + S[u + FBRD]
        uart_break(S, u, now)
    elif offset == UARTCR:
        before = uart_clear_to_send(S, u)
        S[u + CR] = value & 0xFF87
        if uart_clear_to_send(S, u) != before:
            S[u + RIS] |= CTS_INT
    elif offset == UARTIFLS:
        S[u + IFLS] = value & 0x3F
    elif offset == UARTIMSC:
        S[u + IMSC] = value & 0x7FF
    elif offset == UARTICR:
        S[u + RIS] &= ~S[WRITTEN]
    elif offset == UARTDMACR:
        S[u + DMACR] = value & 7
    elif offset == UARTILPR:
        S[u + ILPR] = value & 0xFF
    elif offset not in (UARTFR, UARTRIS, UARTMIS):
        return -1
    uart_start_next(S, u, now)
    uart_lines(S, u)
    uart_poll_host(S, u, now)
    return 0


def uart_reset(S: State, u: int, irq: int) -> None:
    """Registers and FIFOs as after reset; what the host has queued, and what has left the chip, stays."""
    outside = {word: S[u + word] for word in (OUT_COUNT, IN_HEAD, IN_TAIL, WARNED, CTS_OFF)}
    for word in range(RX_FIFO + 32):
        S[u + word] = outside.get(word, 0)
    S[u + TX_EVENT] = S[u + RX_EVENT] = S[u + TIMEOUT_EVENT] = NEVER
    S[EVENT_AT + EVENT_UART0 + irq - UART0_IRQ] = NEVER
    S[u + CR], S[u + IFLS], S[u + IRQ] = TXE | RXE, 0x12, irq
    S[LINES] &= ~(1 << irq)
    S[DREQ_LEVEL] &= ~(3 << DREQ_UART0_TX + 2 * (irq - UART0_IRQ))
