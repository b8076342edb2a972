"""`scripts/bench device`: the cost of measuring over adb, and the correctness of comparisons."""
