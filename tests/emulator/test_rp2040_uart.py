"""UART0 and UART1 (PL011): FIFOs, errors, flow control, loop back, DMA requests. RP2040 datasheet 4.2, ARM DDI 0183."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.rp2040.layout import DREQ_LEVEL
from shared.errors import BadInputError

UART0, CLK_PERI_CTRL = 0x40034000, 0x40008048
DR, RSR, FR, IBRD, FBRD, LCR_H, CR, IFLS, IMSC, RIS, MIS, ICR, DMACR = (
    UART0 + offset for offset in (0, 4, 0x18, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44, 0x48)
)
CLEAR = 0x3000
FEN, WORDS_8 = 0x10, 0x60
ON = 0x301  # UARTEN, TXE, RXE
LBE, RTSEN, CTSEN = 0x80, 0x4000, 0x8000
BIT = 16  # cycles: the divisor is 1 and clk_peri runs at clk_sys
CHARACTER = 10 * BIT


def set_up(control: int = ON, line: int = FEN | WORDS_8) -> list[tuple[int, ...]]:
    return [(CLK_PERI_CTRL, 0x800), (IBRD, 1), (FBRD, 0), (LCR_H, line), (CR, control)]


characters = st.lists(
    st.tuples(st.integers(0, 255), st.sampled_from([None, "parity", "framing", "break"])), min_size=1, max_size=40
)
ERROR_BITS = {None: 0, "framing": 1, "parity": 2, "break": 5}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(characters, st.sampled_from([5, 6, 7, 8]))
def test_received_characters_carry_their_errors(bus_probe: Any, sent: list[tuple[int, str | None]], word: int) -> None:
    """Against a plain model of a 32-deep FIFO with the overrun told by the next character that fits."""
    bus_probe.board.reset()
    port = bus_probe.board.uart0
    for byte, error in sent:
        port.write(bytes([byte]), error=error)
    port_setup = set_up(line=FEN | (word - 5) << 5)
    values = bus_probe.run(*port_setup, CHARACTER * 45, (RIS,), *[(DR,), (RSR,)] * min(32, len(sent)), (FR,))
    expected = [(byte & (1 << word) - 1) | ERROR_BITS[error] << 8 for byte, error in sent]
    raw = 0
    for value in expected[:32]:
        raw |= (value >> 8 & 7) << 7
    raw |= 1 << 10 if len(sent) > 32 else 0
    raw |= 1 << 6  # receive timeout
    raw |= 1 << 4 if len(sent) >= 16 else 0  # the reset level is half full
    assert values[0] == raw
    assert values[1:-1:2] == expected[:32]
    overrun = 8 if len(sent) > 32 else 0
    assert [value & 7 for value in values[2:-1:2]] == [value >> 8 & 7 for value in expected[:32]]
    assert all(value & 8 == overrun for value in values[2:-1:2])
    assert values[-1] & 0x10, "RXFE"


def test_an_overrun_is_told_with_the_next_character_that_fits(bus_probe: Any) -> None:
    bus_probe.board.uart0.write(bytes(range(34)))
    values = bus_probe.run(*set_up(), CHARACTER * 36, (RIS,), (RSR,), (DR,))
    assert values[0] & 1 << 10
    assert values[1:] == [8, 0]
    bus_probe.board.uart0.write(b"Z")
    values = bus_probe.run(CHARACTER * 2, *[(DR,)] * 32, (RSR, 0), (RSR,))
    assert values[:31] == list(range(1, 32))
    assert values[31:] == [ord("Z") | 0x800, 0]


def test_interrupts_clear_by_the_bits_written_through_every_alias(bus_probe: Any) -> None:
    """UARTICR is write-clear: the bits that the store puts on the bus count, not what an alias makes of them."""
    for alias in (0, 0x1000, 0x2000, CLEAR):
        bus_probe.board.reset()
        bus_probe.board.uart0.write(b"x", error="parity")
        values = bus_probe.run(*set_up(), CHARACTER * 8, (RIS,), (ICR + alias, 1 << 8), (RIS,))
        assert values == [1 << 8 | 1 << 6, 1 << 6]


def test_the_divisor_takes_effect_with_lcr_h(bus_probe: Any) -> None:
    bus_probe.run(*set_up(), (IBRD, 100))
    fast = bus_probe.board.uart0.baud
    bus_probe.run((LCR_H, FEN | WORDS_8))
    assert fast == pytest.approx(100 * bus_probe.board.uart0.baud)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=30), st.booleans())
def test_loop_back_receives_what_is_sent(bus_probe: Any, data: bytes, with_host: bool) -> None:
    bus_probe.board.reset()
    if with_host:
        bus_probe.board.uart0.write(b"not now")
    values = bus_probe.run(
        *set_up(ON | LBE), *[(DR, byte) for byte in data], CHARACTER * (len(data) + 2), *[(DR,)] * len(data), (FR,)
    )
    assert bytes(values[:-1]) == data
    assert values[-1] & 0x98 == 0x90, "both FIFOs empty, not busy"
    assert bus_probe.board.uart0.pending == (7 if with_host else 0)


def test_a_break_loops_back_once(bus_probe: Any) -> None:
    line = FEN | WORDS_8
    values = bus_probe.run(*set_up(ON | LBE), (LCR_H, line | 1), (LCR_H, line | 1), (LCR_H, line), (DR,), (RIS,), (FR,))
    assert values.pop() & 0x10, "one character only"
    assert values == [0x500, 1 << 9 | 1 << 7 | 1 << 1], "the modem line changed too: CTS is RTS in loop back"


def test_cts_holds_the_transmitter(bus_probe: Any) -> None:
    port = bus_probe.board.uart0
    port.set_clear_to_send(False)
    values = bus_probe.run(*set_up(ON | CTSEN), (DR, 65), (DR, 66), CHARACTER * 5, (FR,), (RIS,), (CR, ON), (RIS,))
    assert values[0] & 0x89 == 0x08, "busy, transmit FIFO not empty, CTS off"
    assert values[1] & 2, "the modem line changed"
    bus_probe.run(CHARACTER * 4)
    assert port.sent == b"AB"


def test_transmitter_off_holds_what_is_written(bus_probe: Any) -> None:
    values = bus_probe.run(*set_up(0x201), (DR, 65), CHARACTER * 3, (FR,), (CR, ON), CHARACTER * 3, (FR,))
    assert (values[0] & 0x88, values[1] & 0x88) == (0x08, 0x80)


def test_rts_makes_the_host_wait(bus_probe: Any) -> None:
    bus_probe.board.uart0.write(bytes(range(40)))
    values = bus_probe.run(
        *set_up(), (CR, ON | RTSEN), CHARACTER * 60, (FR,), *[(DR,)] * 16, CHARACTER * 60, *[(DR,)] * 16, (RIS,)
    )
    assert not values[0] & 0x40, "the FIFO is half full, not full"
    assert values[1:33] == list(range(32))
    assert not values[-1] & 1 << 10, "no overrun"


def test_dma_requests_follow_the_fifos(bus_probe: Any) -> None:
    S = bus_probe.board.chip.S

    def requests() -> int:
        return int(S[DREQ_LEVEL]) >> 20 & 3

    bus_probe.run(*set_up(0x201))  # the transmitter holds what it gets
    assert requests() == 0
    bus_probe.run((DMACR, 3))
    assert requests() == 1
    bus_probe.run(*[(DR, 0)] * 31)
    assert requests() == 1 or bus_probe.board.uart0.sent
    bus_probe.board.uart0.write(b"a")
    bus_probe.run(CHARACTER * 2)
    assert requests() & 2
    bus_probe.run((DR,))
    assert not requests() & 2
    bus_probe.board.uart0.write(b"a", error="framing")
    bus_probe.run((DMACR, 5), CHARACTER * 2)
    assert not requests() & 2, "DMAONERR"
    bus_probe.run((ICR, 0x7FF))
    assert requests() & 2


def test_a_full_transmit_fifo_takes_its_request_away(bus_probe: Any) -> None:
    """Without the transmitter the FIFO keeps what it gets; BKPT would let it run dry, so the run ends in a wait."""
    for count, expected in ((31, 1), (32, 0)):
        bus_probe.board.reset()
        words = [*set_up(0x201), (DMACR, 2), *[(DR, 0)] * count, 3_000_000]
        bus_probe.start(*words)
        bus_probe.board.run(max_cycles=20_000)
        assert int(bus_probe.board.chip.S[DREQ_LEVEL]) >> 20 & 3 == expected


def test_a_snapshot_holds_damaged_bytes_that_wait(bus_probe: Any) -> None:
    board = bus_probe.board
    board.uart0.write(b"x", error="parity")
    saved = board.snapshot()
    first = bus_probe.run(*set_up(), CHARACTER * 3, (DR,))
    board.restore(saved)
    assert bus_probe.run(*set_up(), CHARACTER * 3, (DR,)) == first == [0x278]


def test_an_unknown_line_error_is_named(bus_probe: Any) -> None:
    with pytest.raises(BadInputError, match="not noise"):
        bus_probe.board.uart0.write(b"x", error="noise")
