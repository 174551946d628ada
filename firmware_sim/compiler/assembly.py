"""What the generators of Cortex-M0+ code share: lines with literals, blocks of products, the interpolator's place."""

from __future__ import annotations

from dataclasses import dataclass, field

LANE_MAX = 32_767
POOL_REACH = 700  # bytes of code after which waiting literals are placed; LDR reaches 1,020
SIO_INTERP = 0xD0000080  # ACCUM0 of INTERP1 at +64, PEEK_LANE0 at +96 (RP2040 datasheet 2.3.1.7)
ACCUM0, PEEK_LANE0 = 64, 96


@dataclass(slots=True)
class Block:
    """Products summed in one register since the last drain."""

    high: int = 0  # most and least of the first pixel's half
    low: int = 0
    products: int = 0
    drained: bool = False

    def takes(self, weight: int) -> bool:
        """Whether another product keeps the half within its bound."""
        high, low = self._grown(weight)
        return high <= LANE_MAX and low >= -LANE_MAX

    def add(self, weight: int) -> None:
        """Count a product."""
        self.high, self.low = self._grown(weight)
        self.products += 1

    def drain(self) -> None:
        """Begin anew."""
        self.high = self.low = self.products = 0
        self.drained = True

    def _grown(self, weight: int) -> tuple[int, int]:
        ends = (weight * -128, weight * 127)
        return self.high + max(ends), self.low + min(ends)


@dataclass(slots=True)
class Assembly:
    """Lines of a function, with literals placed in time."""

    name: str
    lines: list[str] = field(default_factory=list)
    cycles: int = 0
    start_cycles: int = 0  # of beginning a channel, for loops over channels
    bytes: int = 0
    _literal_at: int | None = None
    _labels: int = 0

    def emit(self, text: str, cycles: int = 1) -> None:
        """One two-byte instruction."""
        self.lines.append(f"    {text}")
        self.cycles += cycles
        self.bytes += 2

    def load(self, register: str, value: int) -> None:
        """A constant: MOVS when it fits, else LDR from the pool."""
        if 0 <= value <= 255:
            self.emit(f"movs {register}, #{value}")
            return
        self.emit(f"ldr {register}, ={value & 0xFFFFFFFF}", 2)
        self.bytes += 4
        if self._literal_at is None:
            self._literal_at = self.bytes

    def place_pool(self, name: str, upcoming: int) -> None:
        """Put the waiting literals here, branched around, unless they may wait for `upcoming` bytes more."""
        if self._literal_at is None or self.bytes + upcoming - self._literal_at < POOL_REACH:
            return
        label = f".Lpool_{name}_{self._labels}"
        self.emit(f"b {label}", 2)
        self.lines += ["    .ltorg", f"{label}:"]
        self.bytes += 2  # literals begin at a word
        self._labels += 1
        self._literal_at = None


def advance(code: Assembly, register: str, distance: int) -> None:
    """Move a pointer by any distance, forward or back."""
    while distance:
        step = min(255, abs(distance))
        code.emit(f"{'adds' if distance > 0 else 'subs'} {register}, #{step}")
        distance -= step if distance > 0 else -step
