"""Graphs, ranges, encodings and training: what the methods of `kit.algorithms` share."""
