"""VGGT (Visual Geometry Grounded Transformer, arXiv 2503.11651): our implementation of the spatial encoder.

Written from the paper and checked against the numbers of the reference; key names are the published checkpoint's.
"""
