"""The firmware: C sources, their builds for the chip and for the host, and the ready-built default."""
