"""Benchmarks: plans, measurements and their statistics."""
