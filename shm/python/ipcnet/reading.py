"""Subscriptions over C: batches of messages in memory of Python, and leases of the writer's."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import library as c_api
from .bridge import callback, enlist, fork_count
from .core import Core
from .library import MESSAGE, library
from .message import Message
from .status import IpcnetError, Status
from .tensor import Memory

POLICIES = {"latest": 1, "queue": 2, "lossless": 3}
MESSAGES_PER_DRAIN = 256
SCRATCH_BYTES = 256 << 10
#: Batches up to this are copied to memory of their own size, so that a small message that is kept keeps little.
COPY_BYTES_MAX = 64 << 10

_LAST_VALUE, _NO_LANES = 1, 2


@callback(c_api.OnReady)
def _on_ready(target: "SubscriptionHandle", _handle: int) -> None:
    target.became_ready()


class _SubscriptionPin:
    """The C subscription; ended when no lease's view needs its memory any more."""

    def __init__(self, core: Core, handle: int) -> None:
        self._core, self._client, self.handle = core, core.pin, handle
        self._end = library().unsubscribe

    def __del__(self) -> None:
        if self._core.forks == fork_count():
            self._core.hold()
            self._end(self.handle)
            self._core.lock.release()


class SubscriptionHandle:
    def __init__(self, core: Core, pattern: str, policy: str, queue: int, rate_hz_max: float, last_value: bool, lanes: bool) -> None:
        if policy not in POLICIES:
            raise IpcnetError(Status.BAD_REQUEST, f"a policy is latest, queue or lossless, not {policy}")
        self.core = core
        self.ready_listener: Optional[Callable[[], Any]] = None
        self._ready = True
        self._key = enlist(self)
        self._entries = (ctypes.c_char * (MESSAGE.size * MESSAGES_PER_DRAIN))()
        self._entries_at = ctypes.addressof(self._entries)
        self._entries_view = memoryview(self._entries).cast("B")
        self._spare: List[bytearray] = []
        self._new_scratch(SCRATCH_BYTES)
        flags = (_LAST_VALUE if last_value else 0) | (0 if lanes else _NO_LANES)
        options = c_api.SubscribeOptions(self._key, c_api.OnMessage(), _on_ready, rate_hz_max, flags, POLICIES[policy], queue)
        pointer = ctypes.c_void_p()
        with core.locked() as handle:
            self.matches: int = core.check(library().subscribe(handle, pattern.encode(), ctypes.byref(options), ctypes.byref(pointer)))
            self._pin: Optional[_SubscriptionPin] = _SubscriptionPin(core, pointer.value or 0)
        core.handles.add(self)

    def became_ready(self) -> None:
        self._ready = True
        if self.ready_listener is not None:
            self.core.note(self.ready_listener)

    @property
    def is_ready(self) -> bool:
        """Whether a drain may find something."""
        return self._ready

    @property
    def is_closed(self) -> bool:
        return self._pin is None

    def _new_scratch(self, size: int) -> None:
        """Memory for a drain: one that was handed out and came back, or a new one; begins 64-byte aligned."""
        self._scratch: Optional[bytearray] = None
        for i, candidate in enumerate(self._spare):
            if len(candidate) >= size + 64 and not _is_exported(candidate):
                self._scratch = self._spare.pop(i)
                break
        if self._scratch is None:
            self._scratch = bytearray(size + 64)
        address = Memory(self._scratch).address
        self._start = -address % 64
        self._base = address + self._start
        self._room = len(self._scratch) - 64

    def drain(self, limit: int = MESSAGES_PER_DRAIN) -> List[Message]:
        """What is there, at most ``limit`` messages; waits for nothing."""
        c, count = library(), min(limit, MESSAGES_PER_DRAIN)
        with self.core.locked():
            if self._pin is None:
                raise IpcnetError(Status.SERVICE_UNAVAILABLE, "the subscription is closed")
            while True:
                taken = c.subscription_drain(self._pin.handle, self._entries_at, count, self._base, self._room, 0)
                if taken != -Status.PAYLOAD_TOO_LARGE:
                    break
                (first,) = MESSAGE.iter_unpack(self._entries_view[: MESSAGE.size])
                # Room for its lineage too, and for the next one to be a little larger.
                self._new_scratch(first[2] + first[2] // 8 + 4096)
            if taken == 0 or taken == -Status.SERVICE_UNAVAILABLE:
                self._ready = False
                return []
            self.core.check(taken)
            return self._take(taken)

    def _take(self, count: int) -> List[Message]:
        entries = list(MESSAGE.iter_unpack(self._entries_view[: count * MESSAGE.size]))
        base, used = self._base, 0
        for entry in entries:
            used = max(used, entry[1] + entry[2] - base, entry[3] + entry[15] * 24 - base if entry[15] else 0)
        assert self._scratch is not None
        if used <= COPY_BYTES_MAX or used * 2 < self._room:
            view = _copy(memoryview(self._scratch)[self._start : self._start + used])
        else:
            # Large: handed over as it is. It comes back as a spare when nobody looks at it any more.
            scratch = self._scratch
            view = memoryview(scratch)[self._start :]
            room = self._room
            self._new_scratch(room)
            self._spare = [*self._spare[-2:], scratch]
        return self.core.messages(entries, view, base)

    def lease(self) -> Optional[Tuple[Message, Any]]:
        """The next message where it lies, with what keeps the memory mapped; None when there is none."""
        with self.core.locked():
            if self._pin is None:
                raise IpcnetError(Status.SERVICE_UNAVAILABLE, "the subscription is closed")
            if self.core.check(library().subscription_lease(self._pin.handle, self._entries_at)) == 0:
                self._ready = False
                return None
            (entry,) = MESSAGE.iter_unpack(self._entries_view[: MESSAGE.size])
            low = min(entry[1], entry[3]) if entry[15] else entry[1]
            high = max(entry[1] + entry[2], entry[3] + entry[15] * 24 if entry[15] else 0)
            raw: Any = (ctypes.c_char * (high - low)).from_address(low)
            raw.owner = self._pin
            return self.core.messages([entry], memoryview(raw).cast("B"), low)[0], raw

    def release(self) -> None:
        """IpcnetError 211 when the leased message was overwritten meanwhile."""
        with self.core.locked():
            if self._pin is not None:
                self.core.check(library().subscription_release(self._pin.handle))

    def stats(self) -> Dict[str, int]:
        stats = c_api.SubscriptionStats()
        with self.core.locked():
            if self._pin is not None:
                library().subscription_stats(self._pin.handle, ctypes.byref(stats))
        return {name: getattr(stats, name) for name in ("messages", "lost", "corrupt", "lanes", "broken", "kept_bytes")}

    def close(self) -> None:
        self._pin = None


def _copy(data: memoryview) -> memoryview:
    """Memory of its own size; large data is 64-byte aligned, as tensors like it."""
    if len(data) <= 4096:
        return memoryview(bytearray(data))
    room = bytearray(len(data) + 64)
    start = -Memory(room).address % 64
    view = memoryview(room)[start : start + len(data)]
    view[:] = data
    return view


def _is_exported(data: bytearray) -> bool:
    """Whether anybody looks at it: only then Python refuses to change its size."""
    try:
        data.append(data.pop())
    except BufferError:
        return True
    return False
