"""Bundles: self-describing folders that are copied between machines."""
