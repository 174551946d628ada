"""The RP2040: its emulator, the model compiler, the firmware, and boards behind one interface."""
