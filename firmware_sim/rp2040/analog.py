"""What the ADC of a board measures.

>>> from firmware_sim.rp2040 import Board
>>> board = Board()
>>> board.adc.set_volts(0, 1.65)  # at GPIO 26
>>> board.adc.code(0)
2048
>>> board.adc.temperature_c = 27.0
>>> board.adc.code(4)
876
"""

from __future__ import annotations

from firmware_sim.rp2040.chip import Chip
from firmware_sim.rp2040.layout import ADC_CODES
from shared.errors import BadInputError

REFERENCE_V = 3.3
CODES = 4096
CHANNELS, SENSOR = 5, 4
SENSOR_V_AT_27_C, SENSOR_V_PER_C = 0.706, -0.001721  # datasheet 4.9.5


class Analog:
    """Channels 0 to 3 are GPIO 26 to 29, channel 4 is the temperature sensor. Voltages outlast resets of the chip."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._temperature_c = 27.0
        self.temperature_c = 27.0

    def set_volts(self, channel: int, volts: float) -> None:
        """Put a voltage on a channel; conversions that end from now on see it."""
        if not 0 <= channel < CHANNELS:
            raise BadInputError(f"no ADC channel {channel}: 0 to 3 are GPIO 26 to 29, 4 is the temperature sensor")
        code = int(volts / REFERENCE_V * CODES)
        self._chip.S[ADC_CODES + channel] = min(max(code, 0), CODES - 1)

    def code(self, channel: int) -> int:
        """What a conversion gives, 0 to 4095."""
        return int(self._chip.S[ADC_CODES + channel])

    @property
    def temperature_c(self) -> float:
        """Temperature of the chip in degrees Celsius, for its sensor."""
        return self._temperature_c

    @temperature_c.setter
    def temperature_c(self, celsius: float) -> None:
        self._temperature_c = celsius
        self.set_volts(SENSOR, SENSOR_V_AT_27_C + SENSOR_V_PER_C * (celsius - 27.0))

    def queues(self) -> float:
        """For a snapshot; the codes are in the chip's state."""
        return self._temperature_c

    def set_queues(self, temperature_c: float) -> None:
        """Inverse of `queues`."""
        self._temperature_c = temperature_c
