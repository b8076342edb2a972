"""`scripts/bench zoo`: many networks in many formats, what builds, how well, and how fast."""
