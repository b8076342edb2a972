"""Corrections of the float model before it is quantized, one file each.

They act once, on the float graph with BatchNorm folded, so that every format profits.
"""
