#!/usr/bin/python3
"""In the machine: a person at a terminal. `terminal.py STEPS COMMAND…` runs the command on a pseudo-terminal; STEPS is a JSON list of [what is waited for, what is typed then].

Writes all that the terminal showed, and ends as the command did. What is waited for is looked for in what was shown since the last time something was typed.
"""
import json
import os
import pty
import select
import sys

PATIENCE_S = 600.0


def main():
    steps = json.loads(sys.argv[1])
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvp(sys.argv[2], sys.argv[2:])
    shown, since = "", 0
    while True:
        ready, _, _ = select.select([terminal], [], [], PATIENCE_S)
        if not ready:
            sys.stdout.write(f"{shown}\nnothing for {PATIENCE_S} s; waited for: {steps[:1]}\n")
            return 124
        try:
            data = os.read(terminal, 65536)
        except OSError:  # EIO: nobody has it open any more
            data = b""
        if not data:
            break
        shown += data.decode("utf-8", "replace")
        if steps and steps[0][0] in shown[since:]:
            since = len(shown)
            os.write(terminal, steps.pop(0)[1].encode())
    sys.stdout.write(shown.replace("\r\n", "\n"))
    _, status = os.waitpid(pid, 0)
    if steps:
        sys.stdout.write(f"\nnever seen: {steps[0][0]}\n")
        return 125
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
