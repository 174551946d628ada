"""Certified thresholds: where the edge may decide alone, with a bound on how often that passes a critical item.

Learn-then-test (Angelopoulos, Bates, Candès, Jordan, Lei 2021, arXiv:2110.01052) over a path of thresholds, with exact
binomial tests. Order of the files: bounds -> path -> procedure -> certificate -> issuing.
"""
