"""The process that trains and fits: `python -m hcf_pipeline.defs.sft.train_process PID`, PID being the one that started it.

Its memory, its crash and its GPU are its own, and what its libraries read from the environment is set before they are
loaded. It dies with the process that started it: a trainer whose parent was killed must not train on, or the next run
would meet it. So that is the first thing it sees to, and nothing heavy is imported before.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    die_with(int(sys.argv[1]))
    from hcf_pipeline.defs.sft.worker import carry_out

    carry_out()


def die_with(parent: int) -> None:
    """Ends this process when the process `parent` ends, or at once where it has ended already.

    On Linux the kernel sees to it. Elsewhere one that ends later is outlived: the lock on the work folder then keeps
    the next run waiting.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if sys.platform != "win32" and os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
