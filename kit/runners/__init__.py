"""Runners: programs that run a model file and print JSON lines."""
