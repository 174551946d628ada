"""One instruction of a PIO state machine. RP2040 datasheet 3.4 and 3.5.

An instruction that stalls changes nothing but its side-set, and runs again at the tick at which what it waits for can
have changed.
"""

from __future__ import annotations

from firmware_sim.rp2040.blocks.dma_sniffer import reverse_bits
from firmware_sim.rp2040.blocks.pio_fifo import (
    flags_at,
    give_rx,
    pio_flags,
    pull_threshold,
    push_threshold,
    refill,
    rx_depth,
    take_tx,
    tick_from,
)
from firmware_sim.rp2040.blocks.pio_layout import (
    AFTER_FORCED,
    AUTOPULL,
    AUTOPUSH,
    DIVIDER,
    EXEC,
    EXECCTRL,
    FDEBUG,
    FORCED,
    FORCED_NOW,
    FORCED_STALLED,
    IN_RIGHT,
    INLINE_OUT_EN,
    IRQ,
    IRQ_CYCLE,
    IRQ_WAITING,
    ISR,
    ISR_COUNT,
    MACHINE,
    MACHINE_STRIDE,
    MEMORY,
    NEXT,
    OSR,
    OSR_COUNT,
    OUT_RIGHT,
    OUT_STICKY,
    PC,
    PHASE,
    PINCTRL,
    RX_COUNT,
    RXSTALL,
    SHIFTCTRL,
    SIDE_EN,
    SIDE_PINDIR,
    STALL,
    STALLED,
    STICKY,
    STICKY_DATA,
    STICKY_MASK,
    TX_COUNT,
    TXSTALL,
    WAIT_GPIO,
    WAIT_IRQ,
    WAIT_LEVEL,
    WAIT_NOTHING,
    WAIT_PIN,
    WAIT_RX,
    WAIT_TX,
    X,
    Y,
)
from firmware_sim.rp2040.blocks.pio_pins import pio_drive, pio_inputs, rotate, wait_for_pin
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import PIO, WORD, State

JMP, WAIT, IN, OUT, PUSH_PULL, MOV, IRQ_OP, SET = 0, 1, 2, 3, 4, 5, 6, 7
TO_PINS, TO_PINDIRS, TO_EXEC_BY_MOV, TO_PC, TO_ISR, TO_LAST = 0, 4, 4, 5, 6, 7


@inner
def jump_taken(S: State, p: int, m: int, condition: int, cycle: int) -> bool:
    """Whether a JMP is taken; X-- and Y-- count."""
    if condition == 0:
        return True
    if condition <= 4:
        word = m + (X if condition <= 2 else Y)
        value = S[word]
        if condition & 1:
            return value == 0
        S[word] = (value - 1) & WORD
        return value != 0
    if condition == 5:
        return S[m + X] != S[m + Y]
    if condition == 6:
        return (pio_inputs(S, p, cycle) >> (S[m + EXECCTRL] >> 24 & 31) & 1) != 0
    return S[m + OSR_COUNT] < pull_threshold(S, m)


@inner
def source_value(S: State, p: int, m: int, source: int, cycle: int) -> int:
    """Source of IN and MOV."""
    if source == 0:
        return rotate(pio_inputs(S, p, cycle), 32 - (S[m + PINCTRL] >> 15 & 31))
    if source == 1:
        return S[m + X]
    if source == 2:
        return S[m + Y]
    if source == 5:  # STATUS
        level = S[m + RX_COUNT] if S[m + EXECCTRL] & 16 else S[m + TX_COUNT]
        return WORD if level < S[m + EXECCTRL] & 15 else 0
    if source == 6:
        return S[m + ISR]
    return S[m + OSR] if source == 7 else 0


@inner
def flag_index(index: int, sm: int) -> int:
    """Number of an IRQ flag; with bit 4 the machine's number is added modulo 4."""
    return (index & 4) | (index + sm & 3) if index & 16 else index & 7


@inner
def out_pins(S: State, m: int, sm_bit: int, kind: int, value: int, bits: int, base: int, allowed: bool) -> int:
    """Mask that OUT, SET or MOV writes to the pins (kind 0) or directions (kind 1); OUT_STICKY remembers it."""
    mask = rotate((1 << bits) - 1, base) if allowed else 0
    if S[m + EXECCTRL] & OUT_STICKY:
        S[m + STICKY_MASK + kind], S[m + STICKY_DATA + kind] = mask, rotate(value & WORD, base)
        S[STICKY] |= sm_bit
    return mask


@inner
def pio_execute(S: State, p: int, sm: int, instruction: int, cycle: int) -> int:
    """Execute at a cycle: WAIT_* when the instruction stalls; else a jump's target << 8, or -1 without a jump."""
    m = p + MACHINE + sm * MACHINE_STRIDE
    sm_bit = 1 << (sm + (4 if p > PIO else 0))
    pinctrl, shiftctrl, execctrl = S[m + PINCTRL], S[m + SHIFTCTRL], S[m + EXECCTRL]
    operation, destination, operand = instruction >> 13 & 7, instruction >> 5 & 7, instruction & 31
    mask = data = directions = towards = 0
    stall, target = WAIT_NOTHING, -1
    if operation == JMP:
        if jump_taken(S, p, m, destination, cycle):
            target = operand << 8
    elif operation == WAIT:
        polarity, source = instruction >> 7 & 1, destination & 3
        if source == 2:
            bit = 1 << flag_index(operand, sm)
            if (flags_at(S, p, cycle) & bit != 0) != (polarity != 0):
                stall = WAIT_IRQ
            elif polarity:
                pio_flags(S, p, S[p + IRQ] & ~bit, cycle)
        elif source < 2:
            pin = (operand + (pinctrl >> 15 & 31 if source else 0)) & 31
            if pio_inputs(S, p, cycle) >> pin & 1 != polarity:
                stall = WAIT_GPIO
                S[m + WAIT_PIN], S[m + WAIT_LEVEL] = pin, polarity
    elif operation == IN:
        bits = (operand - 1 & 31) + 1
        value = source_value(S, p, m, destination, cycle) if destination != 5 else 0
        value &= (1 << bits) - 1
        if shiftctrl & IN_RIGHT:
            shifted = (S[m + ISR] >> bits) | (value << (32 - bits))
        else:
            shifted = (S[m + ISR] << bits | value) & WORD
        count = min(32, S[m + ISR_COUNT] + bits)
        if shiftctrl & AUTOPUSH and count >= push_threshold(S, m):
            if S[m + RX_COUNT] >= rx_depth(S, m):
                stall = WAIT_RX
            else:
                give_rx(S, p, sm, shifted)
                S[m + ISR] = S[m + ISR_COUNT] = 0
        else:
            S[m + ISR], S[m + ISR_COUNT] = shifted, count
    elif operation == OUT:
        bits = (operand - 1 & 31) + 1
        if shiftctrl & AUTOPULL and S[m + OSR_COUNT] >= pull_threshold(S, m):
            stall = WAIT_TX  # also where the word is there: filled now, put out one tick later
        else:
            if shiftctrl & OUT_RIGHT:
                value = S[m + OSR] & ((1 << bits) - 1)
                S[m + OSR] >>= bits
            else:
                value = S[m + OSR] >> (32 - bits)
                S[m + OSR] = (S[m + OSR] << bits) & WORD
            S[m + OSR_COUNT] = min(32, S[m + OSR_COUNT] + bits)
            if destination in (TO_PINS, TO_PINDIRS):
                allowed = not execctrl & INLINE_OUT_EN or (value >> (execctrl >> 19 & 31) & 1) != 0
                base = pinctrl & 31
                used = out_pins(S, m, sm_bit, destination >> 2, value, pinctrl >> 20 & 63, base, allowed)
                if destination == TO_PINS:
                    mask, data = used, rotate(value, base)
                else:
                    directions, towards = used, rotate(value, base)
            elif destination <= 2:
                S[m + PC + destination] = value  # X or Y
            elif destination == TO_PC:
                target = (value & 31) << 8
            elif destination == TO_ISR:
                S[m + ISR], S[m + ISR_COUNT] = value, bits
            elif destination == TO_LAST:
                S[m + EXEC] = value & 0xFFFF
    elif operation == PUSH_PULL:
        blocking, conditional = destination & 1, destination & 2
        if destination & 4:
            empty = S[m + OSR_COUNT] >= pull_threshold(S, m)
            if (conditional and not empty) or (shiftctrl & AUTOPULL and S[m + OSR_COUNT] == 0):
                pass
            elif S[m + TX_COUNT]:
                S[m + OSR], S[m + OSR_COUNT] = take_tx(S, p, sm), 0
            elif blocking:
                stall = WAIT_TX
            else:
                S[m + OSR], S[m + OSR_COUNT] = S[m + X], 0
        elif not conditional or S[m + ISR_COUNT] >= push_threshold(S, m):
            if S[m + RX_COUNT] < rx_depth(S, m):
                give_rx(S, p, sm, S[m + ISR])
                S[m + ISR] = S[m + ISR_COUNT] = 0
            elif blocking:
                stall = WAIT_RX
            else:
                S[p + FDEBUG] |= 1 << (RXSTALL + sm)
                S[m + ISR] = S[m + ISR_COUNT] = 0
    elif operation == MOV:
        value = source_value(S, p, m, operand & 7, cycle)
        if operand >> 3 == 1:
            value = ~value & WORD
        elif operand >> 3 == 2:
            value = reverse_bits(value, 32)
        if destination == TO_PINS:
            base = pinctrl & 31
            mask, data = out_pins(S, m, sm_bit, 0, value, pinctrl >> 20 & 63, base, True), rotate(value, base)
        elif destination <= 2:
            S[m + PC + destination] = value
        elif destination == TO_EXEC_BY_MOV:
            S[m + EXEC] = value & 0xFFFF
        elif destination == TO_PC:
            target = (value & 31) << 8
        elif destination == TO_ISR:
            S[m + ISR], S[m + ISR_COUNT] = value, 0
        elif destination == TO_LAST:
            S[m + OSR], S[m + OSR_COUNT] = value, 0
    elif operation == IRQ_OP:
        bit = 1 << flag_index(operand, sm)
        if destination & 2:
            pio_flags(S, p, S[p + IRQ] & ~bit, cycle)
        elif not destination & 1:
            pio_flags(S, p, S[p + IRQ] | bit, cycle)
        elif not S[m + IRQ_WAITING]:
            pio_flags(S, p, S[p + IRQ] | bit, cycle)
            S[m + IRQ_WAITING] = 1
            stall = WAIT_IRQ
        elif flags_at(S, p, cycle) & bit:
            stall = WAIT_IRQ
        else:
            S[m + IRQ_WAITING] = 0
    elif destination in (TO_PINS, TO_PINDIRS):
        base = pinctrl >> 5 & 31
        used = out_pins(S, m, sm_bit, destination >> 2, operand, pinctrl >> 26 & 7, base, True)
        if destination == TO_PINS:
            mask, data = used, rotate(operand, base)
        else:
            directions, towards = used, rotate(operand, base)
    elif destination <= 2:
        S[m + PC + destination] = operand
    # Autopull beside the instruction; an OUT that emptied the OSR refills it in the same cycle.
    if shiftctrl & AUTOPULL:
        refill(S, p, sm)
    side = min(5, pinctrl >> 29)
    if side:
        field = instruction >> 8 & 31
        bits = side
        if execctrl & SIDE_EN:
            bits = side - 1 if field & 16 else 0
        if bits:
            base = pinctrl >> 10 & 31
            used, value = rotate((1 << bits) - 1, base), rotate(field >> (5 - side) & ((1 << bits) - 1), base)
            if execctrl & SIDE_PINDIR:
                directions, towards = directions | used, (towards & ~used) | value
            else:
                mask, data = mask | used, (data & ~used) | value
    if mask | directions:
        pio_drive(S, p, sm, mask, data, directions, towards, cycle)
    if stall == WAIT_RX:
        S[p + FDEBUG] |= 1 << (RXSTALL + sm)
    elif stall == WAIT_TX and not (operation == OUT and S[m + OSR_COUNT] == 0):
        S[p + FDEBUG] |= 1 << (TXSTALL + sm)
    return stall if stall else target


@inner
def pio_step(S: State, p: int, sm: int) -> None:
    """Execute the next instruction of a machine at its tick NEXT."""
    m = p + MACHINE + sm * MACHINE_STRIDE
    tick, extra, forced = S[m + NEXT], S[m + EXEC], S[m + FORCED]
    instruction = extra if extra >= 0 else S[p + MEMORY + S[m + PC]]
    if forced != FORCED_NOW:  # that is not at a tick
        S[m + PHASE] = tick
    S[m + EXEC], S[m + FORCED] = -1, 0
    result = pio_execute(S, p, sm, instruction, tick >> 8)
    if 0 < result < 256:
        S[m + STALL], S[m + EXEC], S[m + NEXT] = result, extra, STALLED
        S[m + FORCED] = FORCED_STALLED if forced else 0
        if result == WAIT_GPIO:
            wait_for_pin(S, p, m)
        elif (result == WAIT_TX and S[m + OSR_COUNT] == 0 and instruction >> 13 == OUT) or (
            result == WAIT_IRQ and S[p + IRQ_CYCLE] >= tick >> 8
        ):  # the OSR was filled, or a flag changed, in this very cycle
            S[m + NEXT] = tick_from(S, m, (tick >> 8) + 1)
        return
    if result >= 0:
        S[m + PC] = result >> 8
    elif extra < 0:
        S[m + PC] = S[m + EXECCTRL] >> 7 & 31 if S[m + PC] == S[m + EXECCTRL] >> 12 & 31 else (S[m + PC] + 1) & 31
    S[m + STALL] = WAIT_NOTHING
    if forced == FORCED_NOW and result < 0 and S[m + AFTER_FORCED] < STALLED:
        S[m + NEXT] = S[m + AFTER_FORCED]  # it only slipped in
    elif forced:
        S[m + NEXT] = tick_from(S, m, (tick >> 8) + 1)
    else:
        ticks = 1
        if S[m + EXEC] < 0:
            ticks += (instruction >> 8 & 31) & ((1 << (5 - min(5, S[m + PINCTRL] >> 29))) - 1)
        S[m + NEXT] = tick + ticks * S[m + DIVIDER]
