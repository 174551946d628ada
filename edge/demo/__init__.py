"""`crustwatch demo`: the whole line on one machine, with the real parts."""
