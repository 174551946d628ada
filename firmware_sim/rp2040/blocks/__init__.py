"""The blocks of the chip, one file each, with the register names of the RP2040 datasheet."""
