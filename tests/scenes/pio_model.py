"""A plain interpreter of one PIO state machine: every cycle, one after the other, as RP2040 datasheet 3 tells it.

Written without the compiled one in mind: no stalls that are skipped, no ticks computed ahead.
"""

from __future__ import annotations

from dataclasses import dataclass, field

WORD = 0xFFFFFFFF


@dataclass
class Machine:
    """One machine with its block's flags. `pins(cycle)` are the levels that it sees; it drives `out` and `oe`."""

    program: list[int]
    execctrl: int
    shiftctrl: int
    pinctrl: int
    number: int = 0
    divider: int = 256
    inputs: dict[int, int] = field(default_factory=dict)  # cycle -> levels from then on
    pc: int = 0
    x: int = 0
    y: int = 0
    isr: int = 0
    osr: int = 0
    isr_count: int = 0
    osr_count: int = 32
    flags: int = 0
    fdebug: int = 0
    tx: list[int] = field(default_factory=list)
    rx: list[int] = field(default_factory=list)
    out: int = 0
    oe: int = 0
    delay: int = 0
    exec_word: int | None = None
    irq_waiting: bool = False
    edges: list[tuple[int, int, int]] = field(default_factory=list)  # cycle, out, oe after it

    def bits(self, word: int, low: int, count: int) -> int:
        return word >> low & ((1 << count) - 1)

    @property
    def tx_depth(self) -> int:
        return 0 if self.shiftctrl >> 31 else 8 if self.shiftctrl >> 30 & 1 else 4

    @property
    def rx_depth(self) -> int:
        return 8 if self.shiftctrl >> 31 else 0 if self.shiftctrl >> 30 & 1 else 4

    @property
    def pull_threshold(self) -> int:
        return self.bits(self.shiftctrl, 25, 5) or 32

    @property
    def push_threshold(self) -> int:
        return self.bits(self.shiftctrl, 20, 5) or 32

    @property
    def autopull(self) -> bool:
        return bool(self.shiftctrl >> 17 & 1)

    @property
    def autopush(self) -> bool:
        return bool(self.shiftctrl >> 16 & 1)

    def pins(self, cycle: int) -> int:
        """Levels two cycles ago: the synchroniser."""
        levels = 0
        for at in sorted(self.inputs):
            if at <= cycle - 2:
                levels = self.inputs[at]
        return levels

    def drive(self, base: int, count: int, value: int, directions: bool) -> None:
        for i in range(count):
            bit = 1 << (base + i) % 32
            if directions:
                self.oe = self.oe & ~bit | (bit if value >> i & 1 else 0)
            else:
                self.out = self.out & ~bit | (bit if value >> i & 1 else 0)

    def cycle(self, cycle: int) -> None:
        """One clock of the machine."""
        before = (self.out, self.oe)
        if self.delay:
            self.delay -= 1
            self.background_pull()
        else:
            self.step(cycle)
        if (self.out, self.oe) != before:
            self.edges.append((cycle + 1, self.out, self.oe))

    def background_pull(self) -> None:
        if self.autopull and self.osr_count >= self.pull_threshold and self.tx:
            self.osr, self.osr_count = self.tx.pop(0), 0

    def step(self, cycle: int) -> None:
        extra, self.exec_word = self.exec_word, None
        word = self.program[self.pc] if extra is None else extra
        operation = word >> 13
        before = self.exec_word
        target, stalled = self.execute(word, cycle)
        if operation != 3:
            self.background_pull()
        self.side_set(word)
        if stalled:
            self.exec_word = extra
            return
        if target is not None:
            self.pc = target
        elif extra is None:
            self.pc = (
                self.bits(self.execctrl, 7, 5) if self.pc == self.bits(self.execctrl, 12, 5) else (self.pc + 1) % 32
            )
        if self.exec_word is before:
            self.delay = word >> 8 & 31 & ((1 << 5 - self.bits(self.pinctrl, 29, 3)) - 1)

    def side_set(self, word: int) -> None:
        count = self.bits(self.pinctrl, 29, 3)
        field_bits = f"{word >> 8 & 31:05b}"[:count]
        if count and self.execctrl >> 30 & 1:
            if field_bits[0] == "0":
                return
            field_bits = field_bits[1:]
        if field_bits:
            base, to_directions = self.bits(self.pinctrl, 10, 5), bool(self.execctrl >> 29 & 1)
            self.drive(base, len(field_bits), int(field_bits, 2), to_directions)

    def flag(self, index: int) -> int:
        return 1 << (index & 4 | (index + self.number) % 4 if index & 16 else index & 7)

    def source(self, which: int, cycle: int) -> int:
        if which == 0:
            base, levels = self.bits(self.pinctrl, 15, 5), self.pins(cycle)
            return (levels >> base | levels << 32 - base) & WORD
        if which == 5:
            level = len(self.rx) if self.execctrl >> 4 & 1 else len(self.tx)
            return WORD if level < self.execctrl & 15 else 0
        return {1: self.x, 2: self.y, 6: self.isr, 7: self.osr}.get(which, 0)

    def execute(self, word: int, cycle: int) -> tuple[int | None, bool]:
        """The target of a jump or None, and whether the instruction stalls."""
        operation, middle, low = word >> 13, word >> 5 & 7, word & 31
        count = low or 32
        if operation == 0:
            return self.jump(middle, low, cycle), False
        if operation == 1:
            return None, self.wait(word >> 7 & 1, middle & 3, low, cycle)
        if operation == 2:
            return None, self.shift_in(0 if middle == 5 else self.source(middle, cycle), count)
        if operation == 3:
            return self.shift_out(middle, count)
        if operation == 4:
            return None, (self.pull if middle & 4 else self.push)(bool(middle & 2), bool(middle & 1))
        if operation == 5:
            value = self.source(low & 7, cycle)
            if low >> 3 == 1:
                value ^= WORD
            if low >> 3 == 2:
                value = int(f"{value:032b}"[::-1], 2)
            return self.move(middle, value), False
        if operation == 6:
            return None, self.interrupt(bool(middle & 2), bool(middle & 1), self.flag(low))
        if middle in (0, 4):
            self.drive(self.bits(self.pinctrl, 5, 5), self.bits(self.pinctrl, 26, 3), low, middle == 4)
        elif middle == 1:
            self.x = low
        elif middle == 2:
            self.y = low
        return None, False

    def jump(self, condition: int, target: int, cycle: int) -> int | None:
        taken = {
            0: True,
            1: self.x == 0,
            2: self.x != 0,
            3: self.y == 0,
            4: self.y != 0,
            5: self.x != self.y,
            6: bool(self.pins(cycle) >> self.bits(self.execctrl, 24, 5) & 1),
            7: self.osr_count < self.pull_threshold,
        }[condition]
        if condition == 2:
            self.x = (self.x - 1) & WORD
        if condition == 4:
            self.y = (self.y - 1) & WORD
        return target if taken else None

    def wait(self, polarity: int, source: int, index: int, cycle: int) -> bool:
        if source == 3:
            return False
        if source == 2:
            flag = self.flag(index)
            if bool(self.flags & flag) != bool(polarity):
                return True
            if polarity:
                self.flags &= ~flag
            return False
        pin = (index + self.bits(self.pinctrl, 15, 5)) % 32 if source else index
        return self.pins(cycle) >> pin & 1 != polarity

    def shift_in(self, value: int, count: int) -> bool:
        value &= (1 << count) - 1
        if self.shiftctrl >> 18 & 1:
            isr = self.isr >> count | value << 32 - count
        else:
            isr = (self.isr << count | value) & WORD
        filled = min(32, self.isr_count + count)
        if self.autopush and filled >= self.push_threshold:
            if len(self.rx) >= self.rx_depth:
                self.fdebug |= 1 << self.number
                return True
            self.rx.append(isr)
            isr = filled = 0
        self.isr, self.isr_count = isr, filled
        return False

    def shift_out(self, destination: int, count: int) -> tuple[int | None, bool]:
        if self.autopull and self.osr_count >= self.pull_threshold:
            if not self.tx:
                self.fdebug |= 1 << 24 + self.number
            self.background_pull()
            return None, True
        if self.shiftctrl >> 19 & 1:
            value, self.osr = self.osr & ((1 << count) - 1), self.osr >> count
        else:
            value, self.osr = self.osr >> 32 - count, self.osr << count & WORD
        self.osr_count = min(32, self.osr_count + count)
        target = None
        if destination in (0, 4):
            self.drive(self.bits(self.pinctrl, 0, 5), self.bits(self.pinctrl, 20, 6), value, destination == 4)
        elif destination == 1:
            self.x = value
        elif destination == 2:
            self.y = value
        elif destination == 5:
            target = value & 31
        elif destination == 6:
            self.isr, self.isr_count = value, count
        elif destination == 7:
            self.exec_word = value & 0xFFFF
        self.background_pull()
        return target, False

    def push(self, only_full: bool, blocking: bool) -> bool:
        if only_full and self.isr_count < self.push_threshold:
            return False
        if len(self.rx) < self.rx_depth:
            self.rx.append(self.isr)
        else:
            self.fdebug |= 1 << self.number
            if blocking:
                return True
        self.isr = self.isr_count = 0
        return False

    def pull(self, only_empty: bool, blocking: bool) -> bool:
        if only_empty and self.osr_count < self.pull_threshold:
            return False
        if self.autopull and self.osr_count == 0:
            return False
        if self.tx:
            self.osr = self.tx.pop(0)
        elif blocking:
            self.fdebug |= 1 << 24 + self.number
            return True
        else:
            self.osr = self.x
        self.osr_count = 0
        return False

    def move(self, destination: int, value: int) -> int | None:
        if destination == 0:
            self.drive(self.bits(self.pinctrl, 0, 5), self.bits(self.pinctrl, 20, 6), value, False)
        elif destination == 1:
            self.x = value
        elif destination == 2:
            self.y = value
        elif destination == 4:
            self.exec_word = value & 0xFFFF
        elif destination == 5:
            return value & 31
        elif destination == 6:
            self.isr, self.isr_count = value, 0
        elif destination == 7:
            self.osr, self.osr_count = value, 0
        return None

    def interrupt(self, clear: bool, waits: bool, flag: int) -> bool:
        if clear:
            self.flags &= ~flag
            return False
        if not self.irq_waiting:
            self.flags |= flag
            self.irq_waiting = waits
            return waits
        self.irq_waiting = bool(self.flags & flag)
        return self.irq_waiting
