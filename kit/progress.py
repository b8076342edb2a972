"""Types of callbacks through which long functions report what they are doing.

The caller decides how to show it: `kit.commands.common.progress_display` draws bars or prints
lines.
"""

from __future__ import annotations

from collections.abc import Callable

ReportStatus = Callable[[str], None]  # takes the current step, such as "compiling resources"
Progress = Callable[[int, int, str], None]  # takes steps done, total, and the current step
CountProgress = Callable[[int, int], None]  # takes samples done, and total
