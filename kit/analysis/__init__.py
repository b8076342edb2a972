"""Sensitivity analysis of quantized models, and search for repairs."""
