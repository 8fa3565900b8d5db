"""The process between the stack and a part: it ends the part when the stack is gone.

Run as a file of its own (standard library only, so that it starts in a few hundredths of a second),
with: the read end of a pipe that the stack holds open, the stack's pid, the seconds to wait between
SIGTERM and SIGKILL, and the part's command. It writes the part's pid to its standard output and
ends with the part's exit code. The part writes to the guard's standard error, and inherits the file
descriptor whose number is in `HEADRACE_HANDOVER`, if there is one. These arguments stay as they
are: an update may put this file under a stack that runs.

The pipe reports the end of the stack however it ends. A process that the stack forked may hold
the pipe open, so the parent's pid is watched too. On Linux the kernel kills the part when the
guard itself is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys

PR_SET_PDEATHSIG = 1
TICK_S = 0.2


class Guard:
    """Watches over one part."""

    def __init__(self, hold: int, parent: int, grace_s: float, command: list[str]) -> None:
        self.hold = hold
        self.parent = parent
        self.grace_s = grace_s
        self.is_ending = False
        prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None
        me = os.getpid()

        def die_with_guard() -> None:
            if prctl is not None:
                prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != me:
                    os.kill(os.getpid(), signal.SIGKILL)

        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)
        inherited = os.environ.get("HEADRACE_HANDOVER")
        self.part = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=2,
            stderr=2,
            process_group=0,
            pass_fds=() if inherited is None else (int(inherited),),
            preexec_fn=die_with_guard,
        )

    def _end(self, *_: object) -> None:
        self.is_ending = True

    def _is_stack_gone(self) -> bool:
        readable, _, _ = select.select([self.hold], [], [], TICK_S)
        return bool(readable) or os.getppid() != self.parent

    def watch(self) -> int:
        """Wait for the end of the part or of the stack; the part's exit code."""
        while self.part.poll() is None:
            if self.is_ending or self._is_stack_gone():
                self._terminate()
        # What the part started, if anything, goes with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.part.pid, signal.SIGKILL)
        code = self.part.returncode
        return code if code >= 0 else 128 - code

    def _terminate(self) -> None:
        self.part.terminate()
        try:
            self.part.wait(self.grace_s)
        except subprocess.TimeoutExpired:
            self.part.kill()
            self.part.wait()


def main(arguments: list[str]) -> int:
    """Start the command that follows the three arguments, and watch over it."""
    hold, parent, grace_s, *command = arguments
    try:
        guard = Guard(int(hold), int(parent), float(grace_s), command)
    except OSError as error:
        print(f"cannot start {command[0]}: {error}", file=sys.stderr)
        return 127
    os.write(1, f"{guard.part.pid}\n".encode())
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return guard.watch()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
