"""`scripts/bench runner`: what the native runner adds to the runtime it measures."""
