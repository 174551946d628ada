"""INTERP0 and INTERP1, the interpolators of the SIO. RP2040 datasheet 2.3.1.6.

State of one interpolator: ACCUM0, ACCUM1, BASE0, BASE1, BASE2, CTRL_LANE0, CTRL_LANE1, then the results of the
two lanes before the base is added (ACCUMx_ADD reads them), LANE0, LANE1 and FULL.
"""

from __future__ import annotations

from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import WORD, State

ACCUM0, ACCUM1, BASE0, BASE1, BASE2, CTRL0, CTRL1 = 0, 1, 2, 3, 4, 5, 6
RAW0, RAW1, LANE0, LANE1, FULL = 7, 8, 9, 10, 11
SIGNED, CROSS_INPUT, CROSS_RESULT, ADD_RAW = 1 << 15, 1 << 16, 1 << 17, 1 << 18
BLEND, CLAMP = 1 << 21, 1 << 22


@inner
def signed(value: int) -> int:
    """Two's complement of a 32-bit word."""
    return value - ((value & 0x80000000) << 1)


@inner
def shift_and_mask(value: int, ctrl: int) -> int:
    """Right shift, mask and sign extension of one lane, as a word."""
    lsb, msb = (ctrl >> 5) & 31, (ctrl >> 10) & 31
    result = (value >> (ctrl & 31)) & ((2 << msb) - 1) & ~((1 << lsb) - 1)
    if ctrl & SIGNED and result >> msb & 1:
        result |= -1 << msb
    return result & WORD


@inner
def overflows(value: int, ctrl: int) -> bool:
    """Whether bits above MASK_MSB are lost."""
    return ((value >> (ctrl & 31)) & ~((2 << ((ctrl >> 10) & 31)) - 1)) != 0


@inner
def interp_update(S: State, interp: int, index: int) -> None:
    """Compute every result from accumulators, bases and controls. `index` is 0 (blends) or 1 (clamps)."""
    ctrl0, ctrl1 = S[interp + CTRL0], S[interp + CTRL1]
    blend = index == 0 and (ctrl0 & BLEND) != 0
    clamp = index == 1 and (ctrl0 & CLAMP) != 0
    input0 = S[interp + ACCUM1] if ctrl0 & CROSS_INPUT else S[interp + ACCUM0]
    input1 = S[interp + ACCUM0] if ctrl1 & CROSS_INPUT else S[interp + ACCUM1]
    base0, base1 = S[interp + BASE0], S[interp + BASE1]
    raw0, raw1 = shift_and_mask(input0, ctrl0), shift_and_mask(input1, ctrl1)
    lane0 = base0 + (input0 if ctrl0 & ADD_RAW else raw0)
    lane1 = base1 + (input1 if ctrl1 & ADD_RAW else raw1)
    full = S[interp + BASE2] + raw0 + (0 if blend else raw1)
    if clamp:
        sign = 0x80000000 if ctrl0 & SIGNED else 0  # flipping the sign bit makes the unsigned comparison signed
        lane0 = min(max(raw0 ^ sign, base0 ^ sign), base1 ^ sign) ^ sign
    if blend:
        alpha = raw1 & 255
        lane0 = alpha
        if ctrl1 & SIGNED:
            lane1 = signed(base0) + ((alpha * (signed(base1) - signed(base0))) >> 8)
        else:
            lane1 = base0 + ((alpha * (base1 - base0)) >> 8)
    force = ((ctrl0 >> 19) & 3) << 28
    over0, over1 = overflows(input0, ctrl0), overflows(input1, ctrl1)
    S[interp + CTRL0] = (ctrl0 & 0x7FFFFF) | (over0 << 23) | (over1 << 24) | ((over0 or over1) << 25)
    S[interp + RAW0], S[interp + RAW1] = raw0, raw1
    S[interp + LANE0] = (lane0 & WORD) | (0 if blend else force)
    S[interp + LANE1] = (lane1 & WORD) | (((ctrl1 >> 19) & 3) << 28)
    S[interp + FULL] = full & WORD


@inner
def interp_pop(S: State, interp: int, index: int) -> None:
    """Write the lane results back to the accumulators, crossed where CROSS_RESULT says so."""
    lane0, lane1 = S[interp + LANE0], S[interp + LANE1]
    S[interp + ACCUM0] = lane1 if S[interp + CTRL0] & CROSS_RESULT else lane0
    S[interp + ACCUM1] = lane0 if S[interp + CTRL1] & CROSS_RESULT else lane1
    interp_update(S, interp, index)


@inner
def interp_read(S: State, interp: int, index: int, offset: int, look: bool) -> int:
    """Register at `offset` from INTERPn_ACCUM0; `look` pops nothing."""
    if offset <= 0x10:
        return S[interp + (offset >> 2)]
    if offset <= 0x1C:  # POP_LANE0, POP_LANE1, POP_FULL
        value = S[interp + LANE0 + ((offset - 0x14) >> 2)]
        if not look:
            interp_pop(S, interp, index)
        return value
    if offset <= 0x28:  # PEEK_LANE0, PEEK_LANE1, PEEK_FULL
        return S[interp + LANE0 + ((offset - 0x20) >> 2)]
    if offset <= 0x30:
        return S[interp + CTRL0 + ((offset - 0x2C) >> 2)]
    if offset <= 0x38:  # ACCUM0_ADD and ACCUM1_ADD read the shifted and masked value
        return S[interp + RAW0 + ((offset - 0x34) >> 2)]
    return 0


@inner
def interp_write(S: State, interp: int, index: int, offset: int, value: int) -> None:
    """Write the register at `offset` from INTERPn_ACCUM0."""
    if offset <= 0x10:
        S[interp + (offset >> 2)] = value
    elif offset == 0x2C:
        S[interp + CTRL0] = value & (0x3FFFFF if index == 0 else 0x5FFFFF)
    elif offset == 0x30:
        S[interp + CTRL1] = value & 0x1FFFFF
    elif offset in (0x34, 0x38):
        lane = (offset - 0x34) >> 2
        S[interp + lane] = (S[interp + lane] + value) & WORD
    elif offset == 0x3C:  # BASE_1AND0: halves go to BASE0 and BASE1, sign-extended by their lane's SIGNED
        lane0 = CTRL1 if index == 0 and S[interp + CTRL0] & BLEND else CTRL0
        low, high = value & 0xFFFF, value >> 16
        if S[interp + lane0] & SIGNED and low & 0x8000:
            low |= 0xFFFF0000
        if S[interp + CTRL1] & SIGNED and high & 0x8000:
            high |= 0xFFFF0000
        S[interp + BASE0], S[interp + BASE1] = low, high
    interp_update(S, interp, index)
