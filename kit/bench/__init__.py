"""How to measure: the plan, the measurement and its statistics."""
