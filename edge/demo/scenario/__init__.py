"""`crustwatch demo --scenario`: the bakery changes while bakes pass, and the loop back brings the edge up to it."""
