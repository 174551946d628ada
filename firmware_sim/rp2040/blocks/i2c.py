"""I2C0 and I2C1 (DW_apb_i2c): registers, FIFOs, interrupts and DMA requests. RP2040 datasheet 4.3.

The bus is modelled by bytes: i2c_master.py moves them when the chip is the master, i2c_slave.py when the host is.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.rp2040.blocks.i2c_master import I2cBus, Master, advance_master, begin, leave_bus, stop_after_this
from firmware_sim.rp2040.blocks.i2c_slave import Slave, advance_slave, poll_slave
from firmware_sim.rp2040.blocks.serial_pins import i2c_pins_missing
from firmware_sim.rp2040.layout import CLK_SYS_HZ, State
from firmware_sim.rp2040.registers import Register, RegisterBlock

FIFO_DEPTH = 16
I2C0_IRQ, DREQ_I2C0_TX = 23, 32

# IC_RAW_INTR_STAT
RX_UNDER, RX_OVER, RX_FULL, TX_OVER, TX_EMPTY, RD_REQ, TX_ABRT = (1 << bit for bit in range(7))
RX_DONE, ACTIVITY, STOP_DET, START_DET, GEN_CALL, RESTART_DET = (1 << bit for bit in range(7, 13))
# IC_CON
MASTER_MODE, SPEED, TEN_BIT_SLAVE, TEN_BIT_MASTER, RESTART_EN, SLAVE_DISABLE = 1, 6, 8, 16, 32, 64
STOP_DET_IFADDRESSED, TX_EMPTY_CTRL, RX_FIFO_FULL_HLD_CTRL = 1 << 7, 1 << 8, 1 << 9
STANDARD, FAST = 1, 2
# IC_ENABLE
ENABLE, ABORT, TX_CMD_BLOCK = 1, 2, 4
SLVFLUSH_TXFIFO, USER_ABRT = 1 << 13, 1 << 16  # IC_TX_ABRT_SOURCE
FIRST_DATA_BYTE = 1 << 11  # IC_DATA_CMD

# Reading one of these clears the bits; IC_CLR_INTR clears all that software may clear.
CLEARED_BY_SOFTWARE = 0x1FFF & ~(RX_FULL | TX_EMPTY)
CLEARS = {
    "IC_CLR_INTR": CLEARED_BY_SOFTWARE,
    "IC_CLR_RX_UNDER": RX_UNDER,
    "IC_CLR_RX_OVER": RX_OVER,
    "IC_CLR_TX_OVER": TX_OVER,
    "IC_CLR_RD_REQ": RD_REQ,
    "IC_CLR_TX_ABRT": TX_ABRT,
    "IC_CLR_RX_DONE": RX_DONE,
    "IC_CLR_ACTIVITY": ACTIVITY,
    "IC_CLR_STOP_DET": STOP_DET,
    "IC_CLR_START_DET": START_DET,
    "IC_CLR_GEN_CALL": GEN_CALL,
    "IC_CLR_RESTART_DET": RESTART_DET,
}
REGISTERS = {
    "IC_CON": Register(0x00, 0x65, 0x3FF),
    "IC_TAR": Register(0x04, 0x55, 0xFFF),
    "IC_SAR": Register(0x08, 0x55, 0x3FF),
    "IC_DATA_CMD": Register(0x10),
    "IC_SS_SCL_HCNT": Register(0x14, 0x28, 0xFFFF),
    "IC_SS_SCL_LCNT": Register(0x18, 0x2F, 0xFFFF),
    "IC_FS_SCL_HCNT": Register(0x1C, 0x06, 0xFFFF),
    "IC_FS_SCL_LCNT": Register(0x20, 0x0D, 0xFFFF),
    "IC_INTR_STAT": Register(0x2C, 0, 0),
    "IC_INTR_MASK": Register(0x30, 0x8FF, 0x1FFF),
    "IC_RAW_INTR_STAT": Register(0x34, 0, 0),
    "IC_RX_TL": Register(0x38, 0, 0xFF),
    "IC_TX_TL": Register(0x3C, 0, 0xFF),
    "IC_CLR_INTR": Register(0x40, 0, 0),
    "IC_CLR_RX_UNDER": Register(0x44, 0, 0),
    "IC_CLR_RX_OVER": Register(0x48, 0, 0),
    "IC_CLR_TX_OVER": Register(0x4C, 0, 0),
    "IC_CLR_RD_REQ": Register(0x50, 0, 0),
    "IC_CLR_TX_ABRT": Register(0x54, 0, 0),
    "IC_CLR_RX_DONE": Register(0x58, 0, 0),
    "IC_CLR_ACTIVITY": Register(0x5C, 0, 0),
    "IC_CLR_STOP_DET": Register(0x60, 0, 0),
    "IC_CLR_START_DET": Register(0x64, 0, 0),
    "IC_CLR_GEN_CALL": Register(0x68, 0, 0),
    "IC_ENABLE": Register(0x6C, 0, 7),
    "IC_STATUS": Register(0x70, 6, 0),
    "IC_TXFLR": Register(0x74, 0, 0),
    "IC_RXFLR": Register(0x78, 0, 0),
    "IC_SDA_HOLD": Register(0x7C, 1, 0xFFFFFF),
    "IC_TX_ABRT_SOURCE": Register(0x80, 0, 0),
    "IC_SLV_DATA_NACK_ONLY": Register(0x84, 0, 1),
    "IC_DMA_CR": Register(0x88, 0, 3),
    "IC_DMA_TDLR": Register(0x8C, 0, 0xF),
    "IC_DMA_RDLR": Register(0x90, 0, 0xF),
    "IC_SDA_SETUP": Register(0x94, 0x64, 0xFF),
    "IC_ACK_GENERAL_CALL": Register(0x98, 1, 1),
    "IC_ENABLE_STATUS": Register(0x9C, 0, 0),
    "IC_FS_SPKLEN": Register(0xA0, 7, 0xFF),
    "IC_CLR_RESTART_DET": Register(0xA8, 0, 0),
    "IC_COMP_PARAM_1": Register(0xF4, 0, 0),
    "IC_COMP_VERSION": Register(0xF8, 0x3230312A, 0),
    "IC_COMP_TYPE": Register(0xFC, 0x44570140, 0),
}
# Written only while the block is disabled; "Writes at other times have no effect".
ONLY_DISABLED = {"IC_CON", "IC_TAR", "IC_SAR", "IC_FS_SPKLEN"} | {name for name in REGISTERS if name.endswith("CNT")}
SMALLEST = {"IC_SS_SCL_HCNT": 6, "IC_FS_SCL_HCNT": 6, "IC_SS_SCL_LCNT": 8, "IC_FS_SCL_LCNT": 8, "IC_FS_SPKLEN": 1}


class I2c(RegisterBlock):
    """One I2C controller. `bus` finds the devices that the host attached; `now` gives the present cycle.

    `warn` is told once when a transfer begins without pins: a board would reach nobody.
    """

    remembers = ("values", "tx", "rx", "raw", "held", "master", "slave")

    def __init__(
        self,
        index: int,
        S: State,
        report: Callable[[str, int], None],
        now: Callable[[], int],
        warn: Callable[[str], None],
    ) -> None:
        self.index = index
        self.warn = warn
        self.now = now
        self.bus = I2cBus()
        self.slave = Slave()
        super().__init__(f"I2C{index}", REGISTERS, S, report)

    def reset(self) -> None:
        """Both FIFOs empty, the bus idle. What the host as a master has queued stays."""
        super().reset()
        self.tx: list[int] = []  # commands as written to IC_DATA_CMD
        self.rx: list[int] = []
        self.raw = 0  # of IC_RAW_INTR_STAT what is not computed
        self.held = False  # the transmit FIFO is held empty after an abort until IC_CLR_TX_ABRT is read
        self.master = Master()
        self.slave = Slave(queue=self.slave.queue)
        self.settle()

    @property
    def enabled(self) -> bool:
        """IC_ENABLE[0]."""
        return bool(self.values["IC_ENABLE"] & ENABLE)

    def check_pins(self) -> None:
        """Say what a board would lack."""
        missing = i2c_pins_missing(self.S, self.index)
        if missing:
            self.warn(f"{self.name} is used, but no GPIO is its {missing}: on a board nobody would answer")

    def bit_cycles(self) -> int:
        """Cycles of clk_sys (which is ic_clk) of one SCL period (datasheet 4.3.14.1)."""
        v = self.values
        speed = "SS" if v["IC_CON"] & SPEED == STANDARD << 1 else "FS"
        return v[f"IC_{speed}_SCL_HCNT"] + v["IC_FS_SPKLEN"] + 7 + v[f"IC_{speed}_SCL_LCNT"] + 1

    def raw_status(self) -> int:
        """IC_RAW_INTR_STAT."""
        raw = self.raw
        if len(self.rx) > self.values["IC_RX_TL"]:
            raw |= RX_FULL
        if self.enabled and len(self.tx) <= self.values["IC_TX_TL"]:
            sending = self.values["IC_CON"] & TX_EMPTY_CTRL and self.master.phase in ("address", "data")
            raw |= 0 if sending else TX_EMPTY
        return raw

    def settle(self) -> None:
        """Drive the interrupt line and the DMA requests."""
        self.set_irq(I2C0_IRQ + self.index, bool(self.raw_status() & self.values["IC_INTR_MASK"]))
        control, tx = self.values["IC_DMA_CR"], DREQ_I2C0_TX + 2 * self.index
        room = self.enabled and not self.held and len(self.tx) <= self.values["IC_DMA_TDLR"]
        self.set_dreq(tx, bool(control & 2) and room)
        self.set_dreq(tx + 1, bool(control & 1) and len(self.rx) > self.values["IC_DMA_RDLR"])

    def receive(self, value: int) -> None:
        """A byte for the receive FIFO, with FIRST_DATA_BYTE; one too many is lost."""
        if len(self.rx) >= FIFO_DEPTH:
            self.raw |= RX_OVER
        else:
            self.rx.append(value)

    def abort(self, source: int) -> None:
        """Empty the transmit FIFO and say why."""
        flushed = min(len(self.tx), 0x1FF)
        self.values["IC_TX_ABRT_SOURCE"] |= source | flushed << 23
        self.tx.clear()
        self.held = True
        self.raw |= TX_ABRT

    def read(self, name: str, look: bool) -> int:
        """Status is computed; reading the data or a clear register does something."""
        v = self.values
        if name == "IC_RAW_INTR_STAT":
            return self.raw_status()
        if name == "IC_INTR_STAT":
            return self.raw_status() & v["IC_INTR_MASK"]
        if name == "IC_STATUS":
            active = (self.master.phase != "idle") << 5 | (self.slave.phase != "idle" and self.slave.addressed) << 6
            fifos = (len(self.tx) < FIFO_DEPTH) << 1 | (not self.tx) << 2 | bool(self.rx) << 3
            return bool(active) | fifos | (len(self.rx) == FIFO_DEPTH) << 4 | active
        if name == "IC_TXFLR":
            return len(self.tx)
        if name == "IC_RXFLR":
            return len(self.rx)
        if name == "IC_ENABLE_STATUS":
            return int(self.enabled or self.master.phase != "idle")
        if look:
            return (self.rx[0] if self.rx else 0) if name == "IC_DATA_CMD" else v[name]
        if name == "IC_DATA_CMD":
            return self._take()
        if name in CLEARS:
            return self._clear(name)
        return v[name]

    def _take(self) -> int:
        """The oldest received byte."""
        value = 0
        if self.rx:
            value = self.rx.pop(0)
        elif self.enabled:
            self.raw |= RX_UNDER
        self.advance(self.now())
        return value

    def _clear(self, name: str) -> int:
        """Clear interrupts; whether one of them was there."""
        was = bool(self.raw & CLEARS[name])
        self.raw &= ~CLEARS[name]
        if CLEARS[name] & TX_ABRT:
            self.values["IC_TX_ABRT_SOURCE"] = 0
            self.held = False
        self.advance(self.now())
        return int(was)

    def write(self, name: str, value: int, cycle: int) -> None:
        """IC_DATA_CMD queues a command, IC_ENABLE starts and stops."""
        if name == "IC_DATA_CMD":
            if len(self.tx) >= FIFO_DEPTH:
                self.raw |= TX_OVER
            elif self.enabled and not self.held:
                self.tx.append(value & 0x7FF)
        elif name == "IC_ENABLE":
            self._enable(value, cycle)
        elif name in ONLY_DISABLED and self.enabled:
            return
        elif name == "IC_CON" and (value & SPEED) >> 1 not in (STANDARD, FAST):
            self.values[name] = value & ~SPEED | FAST << 1
        elif name in ("IC_RX_TL", "IC_TX_TL"):
            self.values[name] = min(value, FIFO_DEPTH)
        else:
            self.values[name] = max(value, SMALLEST.get(name, 0))
        self.advance(cycle)

    def _enable(self, value: int, cycle: int) -> None:
        """ABORT stays until the abort is done; disabling empties the FIFOs and ends the transfer after its byte."""
        was = self.values["IC_ENABLE"]
        self.values["IC_ENABLE"] = value | was & ABORT
        if value & ABORT and self.master.phase != "idle":
            self.abort(USER_ABRT)
            stop_after_this(self, cycle)
        elif value & ABORT:
            self.values["IC_ENABLE"] &= ~ABORT
        if was & ENABLE and not value & ENABLE:
            self.tx.clear()
            self.rx.clear()
            self.raw = 0
            self.held = False
            self.values["IC_TX_ABRT_SOURCE"] &= 0x7FFFFF
            leave_bus(self, cycle)

    def advance(self, cycle: int) -> None:
        """Do what has become possible at `cycle`, and ask to be called for the rest."""
        begin(self, cycle)
        poll_slave(self, cycle)
        self.settle()
        event = self.next_event()
        if event is not None:
            self.wake(event)

    def due(self, cycle: int) -> None:
        """Bytes whose time has come."""
        while (event := self.next_event()) is not None and event <= cycle:
            if self.master.until is not None and self.master.until <= cycle:
                advance_master(self, self.master.until)
            if self.slave.until is not None and self.slave.until <= cycle:
                advance_slave(self, self.slave.until)
            self.advance(event)

    def next_event(self) -> int | None:
        """End of the phase that the bus is in."""
        ends = [end for end in (self.master.until, self.slave.until) if end is not None]
        return min(ends, default=None)

    def host_bit_cycles(self, hz: int) -> int:
        """Cycles of one SCL period of the host as a master."""
        return max(1, int(self.S[CLK_SYS_HZ]) // hz)
