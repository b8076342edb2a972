"""Wheels, which are fetched by name, read and never installed."""
