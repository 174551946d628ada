"""The compiler of the emulator's own kernels: from a small part of Python to machine code (decision 0086)."""
