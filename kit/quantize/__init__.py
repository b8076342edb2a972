"""Quantization methods, one file each; see `kit.quantize._contract`."""
