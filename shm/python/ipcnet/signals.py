"""Signals that come while C may call back.

Python runs a signal's handler at the next Python instruction of the main thread. In ``ipcnet_poll`` that can be the first one of a callback, and what the handler raises there (KeyboardInterrupt, mostly) cannot
pass through C: ctypes would print it and drop it. So while the main thread is in ``ipcnet_poll`` such handlers only note that they were called; afterwards the signal is raised again, and its own handler runs.
"""

from __future__ import annotations

import _signal
import threading
from typing import Any, List, Tuple

#: Those whose handlers raise, in programs that have such handlers.
_NUMBERS = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGALRM, _signal.SIGUSR1, _signal.SIGUSR2)


class SignalsLater:
    """``hold`` before, ``release`` after. Between them nothing is raised by a signal, so that ``release`` is always reached. Does nothing in other threads, where no handler ever runs."""

    def __init__(self) -> None:
        self._replaced: List[Tuple[int, Any]] = []
        self._caught: List[int] = []

    def hold(self) -> "SignalsLater":
        if threading.get_ident() != threading.main_thread().ident:
            return self
        for number in _NUMBERS:
            handler = _signal.getsignal(number)
            # asyncio's own does nothing, and reads the signal elsewhere.
            if callable(handler) and getattr(handler, "__name__", "") != "_sighandler_noop":
                # First the note of what to put back: whatever happens then is put right.
                self._replaced.append((number, handler))
                _signal.signal(number, self._note)
        return self

    def _note(self, number: int, _frame: Any) -> None:
        if number not in self._caught:
            self._caught.append(number)

    def release(self) -> None:
        """Puts the handlers back, then raises what was caught. Whatever a handler raises on the way, the others get their turn."""
        try:
            while self._replaced:
                number, handler = self._replaced[-1]
                _signal.signal(number, handler)
                self._replaced.pop()
            while self._caught:
                _signal.raise_signal(self._caught.pop())
        finally:
            if self._replaced or self._caught:
                self.release()
