"""XIP_CTRL for Python: reset, and the flush that the boot ROM's flash functions do. xip.py serves the registers."""

from __future__ import annotations

from firmware_sim.rp2040.layout import (
    EVENT_AT,
    EVENT_STREAM,
    NEVER,
    STREAM_DUE,
    XIP_CTRL,
    XIP_EN,
    XIP_ERR_BADWRITE,
    XIP_FLUSHED,
    XIP_FREE,
    XIP_TAGS,
)
from firmware_sim.rp2040.registers import RegisterBlock

FLUSH = 4


class XipCtrl(RegisterBlock):
    """All of it is in the state."""

    def reset(self) -> None:
        """Cache on and empty, writes to flash fault."""
        super().reset()
        costs = self.S[XIP_CTRL + 4 : XIP_CTRL + 6].copy()
        self.S[XIP_TAGS : XIP_CTRL + 32] = 0
        self.S[XIP_CTRL + 4 : XIP_CTRL + 6] = costs
        self.S[XIP_CTRL] = XIP_EN | XIP_ERR_BADWRITE
        self.S[STREAM_DUE] = self.S[EVENT_AT + EVENT_STREAM] = NEVER

    def store(self, offset: int, value: int, cycle: int) -> None:
        """FLUSH, at once."""
        if offset == FLUSH:
            self.S[XIP_TAGS:XIP_CTRL] = 0
            self.S[XIP_FLUSHED] = self.S[XIP_FREE] = cycle
