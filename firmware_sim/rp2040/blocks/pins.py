"""Levels of all pins: who drives them, what the pulls do, what the blocks see, and the edges that interrupt.

RP2040 datasheet 2.19. One word a quantity, bank 0 in bits 0-29 and the six QSPI pins (SCLK, SS, SD0-SD3) from bit
QSPI_SHIFT, so that a change costs the same for one pin as for all. The registers that set these words up are served
by blocks/io_bank0.py and blocks/pads.py.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.lines import set_own_lines
from firmware_sim.rp2040.blocks.pio_layout import WAITED
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.far import call_far
from firmware_sim.rp2040.layout import (
    CORE_STRIDE,
    FAR_LOOK_PWM,
    GPIO_EXTERNAL,
    GPIO_HI_OE,
    GPIO_HI_OUT,
    GPIO_OE,
    GPIO_OUT,
    HOST_EVENT,
    NEXT_EVENT,
    OWN_LINES,
    PIN_CONFLICT,
    PIN_EDGE_HIGH,
    PIN_EDGE_LOW,
    PIN_EXTERNAL_DOWN,
    PIN_EXTERNAL_MASK,
    PIN_EXTERNAL_UP,
    PIN_FUNCTION,
    PIN_HI_IN,
    PIN_HI_PAD,
    PIN_HISTORY,
    PIN_HISTORY_COUNT,
    PIN_HISTORY_ENTRIES,
    PIN_IN,
    PIN_INOVER,
    PIN_INPUT_ENABLE,
    PIN_INTE,
    PIN_INTF,
    PIN_IRQ,
    PIN_IRQOVER,
    PIN_LEVELS,
    PIN_LOG,
    PIN_LOG_COUNT,
    PIN_LOG_ENTRIES,
    PIN_LOG_LIMIT,
    PIN_OE,
    PIN_OE_PAD,
    PIN_OEOVER,
    PIN_OUT,
    PIN_OUTOVER,
    PIN_OUTPUT_DISABLE,
    PIN_PAD,
    PIN_PULL_DOWN,
    PIN_PULL_UP,
    PIN_STUCK,
    PIN_STUCK_LEVEL,
    PIN_WATCH,
    PWM_INPUTS,
    QSPI_SHIFT,
    State,
)

FUNCTION_PWM, FUNCTION_SIO, FUNCTIONS = 4, 5, 10
BANK0 = (1 << 30) - 1
ALL_PINS = BANK0 | 0x3F << QSPI_SHIFT
QSPI_SCLK, QSPI_SS = 1 << QSPI_SHIFT, 2 << QSPI_SHIFT
IO_IRQ_BANK0, IO_IRQ_QSPI = 13, 14
LEVEL_LOW, LEVEL_HIGH, EDGE_LOW, EDGE_HIGH = 0, 1, 2, 3  # words of a target in PIN_INTE and PIN_INTF


@inner
def overridden(S: State, levels: int, over: int) -> int:
    """Levels after an override of IO_BANK0, whose three masks (invert, low, high) begin at `over`."""
    return ((levels ^ S[over]) & ~S[over + 1]) | S[over + 2]


@inner
def peripheral_out(S: State) -> int:
    """Levels that the selected functions put out. An idle flash interface holds SCLK low and SS high."""
    levels = (S[GPIO_OUT] | S[GPIO_HI_OUT] << QSPI_SHIFT) & S[PIN_FUNCTION + FUNCTION_SIO]
    levels |= QSPI_SS & S[PIN_FUNCTION]
    for function in range(1, FUNCTIONS):
        if S[PIN_FUNCTION + function] and function != FUNCTION_SIO:
            levels |= S[PIN_OUT + function] & S[PIN_FUNCTION + function]
    return levels


@inner
def peripheral_oe(S: State) -> int:
    """Output enables of the selected functions."""
    enables = (S[GPIO_OE] | S[GPIO_HI_OE] << QSPI_SHIFT) & S[PIN_FUNCTION + FUNCTION_SIO]
    enables |= (QSPI_SCLK | QSPI_SS) & S[PIN_FUNCTION]
    for function in range(1, FUNCTIONS):
        if S[PIN_FUNCTION + function] and function != FUNCTION_SIO:
            enables |= S[PIN_OE + function] & S[PIN_FUNCTION + function]
    return enables


@inner
def interrupts_of(S: State, target: int) -> int:
    """Pins of both banks that interrupt a target: enabled and raised, or forced."""
    e, f = PIN_INTE + 4 * target, PIN_INTF + 4 * target
    pins = (S[e + LEVEL_LOW] & ~S[PIN_IRQ]) | (S[e + LEVEL_HIGH] & S[PIN_IRQ])
    pins |= (S[e + EDGE_LOW] & S[PIN_EDGE_LOW]) | (S[e + EDGE_HIGH] & S[PIN_EDGE_HIGH])
    return pins | S[f + LEVEL_LOW] | S[f + LEVEL_HIGH] | S[f + EDGE_LOW] | S[f + EDGE_HIGH]


@inner
def pins_lines(S: State, now: int) -> None:
    """Drive IO_IRQ_BANK0 and IO_IRQ_QSPI of the cores."""
    for core in range(2):
        own = core * CORE_STRIDE + OWN_LINES
        pins = interrupts_of(S, core)
        mask = 1 << IO_IRQ_BANK0 | 1 << IO_IRQ_QSPI
        high = (1 << IO_IRQ_BANK0 if pins & BANK0 else 0) | (1 << IO_IRQ_QSPI if pins >> QSPI_SHIFT else 0)
        if S[own] & mask != high:
            set_own_lines(S, core * CORE_STRIDE, mask, high)
            S[NEXT_EVENT] = now


@inner
def pins_edges(S: State, changed: int, now: int) -> None:
    """Some pads changed: latch the edges, drive the interrupts, and note what the host watches."""
    irq = overridden(S, S[PIN_LEVELS] & S[PIN_INPUT_ENABLE], PIN_IRQOVER) & ALL_PINS
    S[PIN_EDGE_LOW] |= S[PIN_IRQ] & ~irq
    S[PIN_EDGE_HIGH] |= irq & ~S[PIN_IRQ]
    S[PIN_IRQ] = irq
    pins_lines(S, now)
    if changed & S[PWM_INPUTS] & S[PIN_FUNCTION + FUNCTION_PWM] and S[FAR_LOOK_PWM]:
        call_far(S, FAR_LOOK_PWM, now, 0, 0, 0)
    if changed & S[PIN_WATCH]:
        count = S[PIN_LOG_COUNT]
        if count < PIN_LOG_ENTRIES:
            entry = PIN_LOG + 3 * count
            S[entry], S[entry + 1], S[entry + 2] = now, S[PIN_LEVELS], changed & S[PIN_WATCH]
            S[PIN_LOG_COUNT] = count + 1
        if count + 1 >= S[PIN_LOG_LIMIT]:
            S[HOST_EVENT] = now
            S[NEXT_EVENT] = now


@inner
def pins_remember(S: State, changed: int, now: int) -> None:
    """PIN_IN is about to change: keep what it was for the synchronisers of the PIO, and wake what waits for it."""
    entry = PIN_HISTORY + 2 * (S[PIN_HISTORY_COUNT] & (PIN_HISTORY_ENTRIES - 1))
    S[entry], S[entry + 1] = now, S[PIN_IN]
    S[PIN_HISTORY_COUNT] += 1
    if changed & S[WAITED]:
        S[NEXT_EVENT] = now


@inner
def pins_update(S: State, now: int) -> None:
    """Compute all levels anew: to be called at the cycle at which anything that they depend on has changed."""
    out = overridden(S, peripheral_out(S), PIN_OUTOVER)
    oe = overridden(S, peripheral_oe(S), PIN_OEOVER) & ~S[PIN_OUTPUT_DISABLE] & ALL_PINS
    outside, mask = S[GPIO_EXTERNAL], S[PIN_EXTERNAL_MASK]
    S[PIN_CONFLICT] |= oe & mask & (out ^ outside)
    old = S[PIN_LEVELS]
    # Both pulls at once keep the level (bus keeper); a pin that nothing holds reads low.
    resistors = (S[PIN_PULL_UP] & ~S[PIN_PULL_DOWN]) | (S[PIN_PULL_UP] & S[PIN_PULL_DOWN] & old)
    resistors = (resistors | S[PIN_EXTERNAL_UP]) & ~(S[PIN_EXTERNAL_DOWN] & ~S[PIN_EXTERNAL_UP])
    levels = ((out & oe) | (outside & mask & ~oe) | (resistors & ~mask & ~oe)) & ALL_PINS
    levels = (levels & ~S[PIN_STUCK]) | (S[PIN_STUCK_LEVEL] & S[PIN_STUCK])
    seen = overridden(S, levels & S[PIN_INPUT_ENABLE], PIN_INOVER)
    S[PIN_LEVELS], S[PIN_OE_PAD] = levels, oe
    S[PIN_PAD], S[PIN_HI_PAD] = levels & BANK0, levels >> QSPI_SHIFT & 0x3F
    if seen & BANK0 != S[PIN_IN]:
        pins_remember(S, (seen & BANK0) ^ S[PIN_IN], now)
    S[PIN_IN], S[PIN_HI_IN] = seen & BANK0, seen >> QSPI_SHIFT & 0x3F
    irq = overridden(S, levels & S[PIN_INPUT_ENABLE], PIN_IRQOVER) & ALL_PINS
    if levels != old or irq != S[PIN_IRQ]:
        pins_edges(S, levels ^ old, now)
