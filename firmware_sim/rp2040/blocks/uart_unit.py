"""How the bus and the events reach UART0 and UART1: functions called through addresses, see units.py."""

from __future__ import annotations

from firmware_sim.rp2040.blocks.uart import (
    RX_EVENT,
    TIMEOUT_EVENT,
    TX_EVENT,
    UARTDR,
    uart_clear_to_send_changes,
    uart_fire,
    uart_poll_host,
    uart_read,
    uart_write,
)
from firmware_sim.rp2040.compiled import far, inner
from firmware_sim.rp2040.far import longs_at, memory_of
from firmware_sim.rp2040.layout import (
    EVENT_AT,
    EVENT_UART0,
    NEXT_EVENT,
    STATE_WORDS,
    UART,
    UART_BUFFER,
    UART_STRIDE,
    State,
)

UART1_BASE = 0x40038000


@inner
def plan(S: State, index: int) -> None:
    """Put the next event of UART `index` where events.py looks."""
    u = UART + index * UART_STRIDE
    S[EVENT_AT + EVENT_UART0 + index] = min(S[u + TX_EVENT], S[u + RX_EVENT], S[u + TIMEOUT_EVENT])


@far
def read_uart(state: int, address: int, look: int, now: int, _d: int) -> int:
    """As uart_read, by address; taking a character may change the interrupt line."""
    S = longs_at(state, STATE_WORDS)
    index = 1 if address >= UART1_BASE else 0
    value = uart_read(S, UART + index * UART_STRIDE, address & 0xFFF, now, look != 0)
    if address & 0xFFF == UARTDR and not look:
        plan(S, index)
        S[NEXT_EVENT] = now
    return value


@far
def write_uart(state: int, address: int, value: int, now: int, _d: int) -> int:
    """As uart_write, by address."""
    S = longs_at(state, STATE_WORDS)
    index = 1 if address >= UART1_BASE else 0
    status = uart_write(S, UART + index * UART_STRIDE, address & 0xFFF, value, now)
    plan(S, index)
    return status


@inner
def fire(S: State, index: int, now: int) -> None:
    """Do what is due."""
    u = UART + index * UART_STRIDE
    while S[EVENT_AT + EVENT_UART0 + index] <= now:
        uart_fire(S, memory_of(S).uarts, u, index * UART_BUFFER, now)
        plan(S, index)


@far
def fire_uart0(state: int, now: int, _b: int, _c: int, _d: int) -> int:
    """Events of UART0."""
    fire(longs_at(state, STATE_WORDS), 0, now)
    return 0


@far
def fire_uart1(state: int, now: int, _b: int, _c: int, _d: int) -> int:
    """Events of UART1."""
    fire(longs_at(state, STATE_WORDS), 1, now)
    return 0


@inner
def host_sends(S: State, u: int, now: int) -> None:
    """The host has queued bytes for the UART whose state begins at `u`."""
    uart_poll_host(S, u, now)
    plan(S, (u - UART) // UART_STRIDE)


@inner
def host_is_clear(S: State, u: int, off: int, now: int) -> None:
    """The host gives (off 0) or takes (off 1) its clear-to-send."""
    uart_clear_to_send_changes(S, u, off, now)
    plan(S, (u - UART) // UART_STRIDE)
