"""The DMA's sniffer: checksums over the data that passes through one channel. RP2040 datasheet 2.5.5.2.

The CRC register shifts to the left and takes the transfer's most significant bit first (CRC32, CRC16), or its least
significant bit first (CRC32R, CRC16R). The latter with OUT_REV and OUT_INV, seeded with ones, is zlib's crc32.
"""

from __future__ import annotations

import numpy as np

from firmware_sim.rp2040.blocks.dma_layout import SNIFF_CTRL, SNIFF_DATA
from firmware_sim.rp2040.compiled import inner
from firmware_sim.rp2040.layout import WORD, State

CRC32, CRC32R, CRC16, CRC16R, EVEN, SUM = 0, 1, 2, 3, 14, 15
SNIFF_BSWAP, OUT_REV, OUT_INV = 1 << 9, 1 << 10, 1 << 11


def _nibbles(polynomial: int, width: int) -> list[int]:
    """The CRC register's change, by the four bits that leave it at the top."""
    table = []
    for nibble in range(16):
        register = nibble << (width - 4)
        for _ in range(4):
            register = register << 1 ^ (polynomial if register >> (width - 1) & 1 else 0)
        table.append(register & ((1 << width) - 1))
    return table


CRC32_TABLE = np.array(_nibbles(0x04C11DB7, 32), np.int64)
CRC16_TABLE = np.array(_nibbles(0x1021, 16), np.int64)


@inner
def reverse_bits(value: int, width: int) -> int:
    """The `width` low bits of `value` in reverse order; `width` is 8, 16 or 32."""
    value = ((value & 0x55555555) << 1) | ((value >> 1) & 0x55555555)
    value = ((value & 0x33333333) << 2) | ((value >> 2) & 0x33333333)
    value = ((value & 0x0F0F0F0F) << 4) | ((value >> 4) & 0x0F0F0F0F)
    value = ((value & 0x00FF00FF) << 8) | ((value >> 8) & 0x00FF00FF)
    value = ((value & 0xFFFF) << 16) | ((value >> 16) & 0xFFFF)
    return value >> (32 - width)


@inner
def swap_bytes(value: int, size: int) -> int:
    """The bytes of a transfer of `size` bytes in reverse order."""
    if size == 4:
        value = ((value & 0x00FF00FF) << 8) | ((value >> 8) & 0x00FF00FF)
        return ((value & 0xFFFF) << 16) | (value >> 16)
    if size == 2:
        return ((value & 0xFF) << 8) | (value >> 8)
    return value


@inner
def sniff(S: State, data: int, size: int) -> None:
    """Feed one transfer of `size` bytes to the checksum."""
    control, result = S[SNIFF_CTRL], S[SNIFF_DATA]
    if control & SNIFF_BSWAP:
        data = swap_bytes(data, size)
    calculation = (control >> 5) & 15
    if calculation == SUM:
        S[SNIFF_DATA] = (result + data) & WORD
    elif calculation == EVEN:
        folded = result ^ data
        for shift in (16, 8, 4, 2, 1):
            folded ^= folded >> shift
        S[SNIFF_DATA] = folded & 1
    elif calculation <= CRC16R:
        if calculation & 1:
            data = reverse_bits(data, 8 * size)
        for shift in range(8 * size - 4, -4, -4):
            nibble = (data >> shift) & 15
            if calculation <= CRC32R:
                result = ((result << 4) & WORD) ^ CRC32_TABLE[(result >> 28) ^ nibble]
            else:
                result = ((result << 4) & 0xFFFF) ^ CRC16_TABLE[((result >> 12) & 15) ^ nibble]
        S[SNIFF_DATA] = result


@inner
def sniffed(S: State) -> int:
    """SNIFF_DATA as the bus sees it."""
    value = S[SNIFF_DATA]
    if S[SNIFF_CTRL] & OUT_REV:
        value = reverse_bits(value, 32)
    if S[SNIFF_CTRL] & OUT_INV:
        value = ~value & WORD
    return value
