"""Which compiled functions serve which registers, events and slow paths; their addresses go into the state."""

from __future__ import annotations

from typing import NamedTuple

from firmware_sim.rp2040.arbitration import far_grant
from firmware_sim.rp2040.blocks.adc import fire_adc, read_adc, write_adc
from firmware_sim.rp2040.blocks.camera_unit import fire_camera
from firmware_sim.rp2040.blocks.dma_unit import read_dma, write_dma
from firmware_sim.rp2040.blocks.interp_unit import load_interpolator, store_interpolator
from firmware_sim.rp2040.blocks.lazy_unit import advance_blocks
from firmware_sim.rp2040.blocks.pio_unit import read_pio, write_pio
from firmware_sim.rp2040.blocks.pwm import fire_pwm, look_pwm, read_pwm, write_pwm
from firmware_sim.rp2040.blocks.timer import fire_timer, read_timer, write_timer
from firmware_sim.rp2040.blocks.uart_unit import fire_uart0, fire_uart1, read_uart, write_uart
from firmware_sim.rp2040.blocks.xip import fire_stream, read_xip, write_xip, xip_miss
from firmware_sim.rp2040.bus import far_read, far_read_register, far_write, far_write_register, unit_index
from firmware_sim.rp2040.control import attend
from firmware_sim.rp2040.exceptions import far_return, far_svc
from firmware_sim.rp2040.fetch import far_decode
from firmware_sim.rp2040.kernels.library import Compiled, Library
from firmware_sim.rp2040.layout import (
    EVENT_ADC,
    EVENT_CAMERA,
    EVENT_FIRE,
    EVENT_PWM,
    EVENT_STREAM,
    EVENT_TIMER,
    EVENT_UART0,
    EVENT_UART1,
    FAR_ADVANCE,
    FAR_ATTEND,
    FAR_DECODE,
    FAR_GRANT,
    FAR_LOAD_INTERPOLATOR,
    FAR_LOAD_MULTIPLE,
    FAR_LOOK_PWM,
    FAR_MRS,
    FAR_MSR,
    FAR_READ,
    FAR_READ_REGISTER,
    FAR_RETURN,
    FAR_ROM_FLOAT,
    FAR_STORE_INTERPOLATOR,
    FAR_STORE_MULTIPLE,
    FAR_SVC,
    FAR_WRITE,
    FAR_WRITE_REGISTER,
    FAR_XIP_MISS,
    MEMORY_AT,
    STATE_AT,
    UNIT_READ,
    UNIT_WRITE,
    Memory,
    State,
)
from firmware_sim.rp2040.machine import catch_up, poll_uart, run_core, set_clocks, set_uart_cts, update_pins
from firmware_sim.rp2040.multiple import load_multiple, store_multiple
from firmware_sim.rp2040.rom.float_unit import rom_float
from firmware_sim.rp2040.special_registers import far_mrs, far_msr


class Unit(NamedTuple):
    """A block whose registers compiled code serves: read(state, address, look, now, 0), write(state, address, value,
    now, 0); -1 hands the access to the Python block of the same name."""

    base: int
    read: Compiled[[int, int, int, int, int], int]
    write: Compiled[[int, int, int, int, int], int]


UNITS = (
    Unit(0x40034000, read_uart, write_uart),
    Unit(0x40038000, read_uart, write_uart),
    Unit(0x4004C000, read_adc, write_adc),
    Unit(0x40050000, read_pwm, write_pwm),
    Unit(0x40054000, read_timer, write_timer),
    Unit(0x50000000, read_dma, write_dma),
    Unit(0x14000000, read_xip, write_xip),
    Unit(0x50400000, read_xip, write_xip),
    Unit(0x50200000, read_pio, write_pio),
    Unit(0x50300000, read_pio, write_pio),
)
# fire(state, now, 0, 0, 0), called when S[EVENT_AT + kind] is reached; it sets that word to what comes next.
EVENTS = {
    EVENT_TIMER: fire_timer,
    EVENT_UART0: fire_uart0,
    EVENT_UART1: fire_uart1,
    EVENT_STREAM: fire_stream,
    EVENT_PWM: fire_pwm,
    EVENT_ADC: fire_adc,
    EVENT_CAMERA: fire_camera,
}
SLOW_PATHS = {
    FAR_READ: far_read,
    FAR_WRITE: far_write,
    FAR_LOAD_MULTIPLE: load_multiple,
    FAR_STORE_MULTIPLE: store_multiple,
    FAR_ATTEND: attend,
    FAR_RETURN: far_return,
    FAR_SVC: far_svc,
    FAR_MRS: far_mrs,
    FAR_MSR: far_msr,
    FAR_DECODE: far_decode,
    FAR_READ_REGISTER: far_read_register,
    FAR_WRITE_REGISTER: far_write_register,
    FAR_ADVANCE: advance_blocks,
    FAR_LOAD_INTERPOLATOR: load_interpolator,
    FAR_STORE_INTERPOLATOR: store_interpolator,
    FAR_XIP_MISS: xip_miss,
    FAR_LOOK_PWM: look_pwm,
    FAR_ROM_FLOAT: rom_float,
    FAR_GRANT: far_grant,
}


# What every program needs: compiled together, on the first start.
EMULATOR = Library(
    "emulator",
    run_core,
    *SLOW_PATHS.values(),
    *EVENTS.values(),
    *{part.symbol: part for unit in UNITS for part in (unit.read, unit.write)}.values(),
    *(set_clocks, catch_up, update_pins, poll_uart, set_uart_cts),
)


def connect(S: State, mem: Memory) -> None:
    """Write the addresses of the compiled functions and of the arrays into the state; compiles what is not cached."""
    S[STATE_AT] = S.ctypes.data
    for i, array in enumerate((mem.bytes, mem.decoded, mem.pages, mem.natives, mem.breaks, mem.uarts)):
        S[MEMORY_AT + i] = array.ctypes.data
    for index, function in SLOW_PATHS.items():
        S[index] = function.address
    for kind, function in EVENTS.items():
        S[EVENT_FIRE + kind] = function.address
    for unit in UNITS:
        at = unit_index(unit.base)
        S[UNIT_READ + at], S[UNIT_WRITE + at] = unit.read.address, unit.write.address
