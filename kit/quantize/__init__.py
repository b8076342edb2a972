"""Quantization methods, one file each; see `kit.quantize.options`."""
