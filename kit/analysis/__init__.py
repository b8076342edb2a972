"""Where a quantized model loses accuracy, and what it costs to keep it."""
