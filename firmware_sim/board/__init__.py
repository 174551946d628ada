"""A classifier board, emulated or on a serial port, behind one client of the serial protocol."""
