"""Results as pages that people read."""
