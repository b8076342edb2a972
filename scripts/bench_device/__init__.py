"""`scripts/bench device`: what measuring over adb costs, and whether its verdicts hold."""
