"""Tests only: a process that kills itself at a named point, as a lost machine would.

`METACON_FAULT=align:before-manifest` makes the process that reaches `fault_point("align:before-manifest")` end
by SIGKILL: nothing is flushed, no `finally` runs. Where the variable is unset a point costs one look-up.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "METACON_FAULT"


def fault_point(name: str) -> None:
    """End this process by SIGKILL when $METACON_FAULT names this point; else do nothing."""
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
