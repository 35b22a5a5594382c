"""What the plain and the asyncio client share: one C client with its lock, its callbacks, and the handles made from it.

Threads: a C client belongs to one thread at a time, so every call takes the client's lock. Whoever waits for messages holds it while it sleeps in the kernel (without the GIL); others
wake it up, and pass first. Callbacks of the C library only note what happened; the program's own functions are called afterwards, with no lock held.

Memory: C handles are closed when the last Python object that needs them is gone, so that no view can outlive what it looks at.

Fork: a child shares the parent's socket and lanes and must not touch them. It gets an error instead, and closes nothing.
"""

from __future__ import annotations

import collections
import ctypes
import threading
import time
import weakref
from typing import Any, Callable, Deque, Dict, Iterable, List, Optional, Set, Tuple

from . import cbor, library as c_api, media
from .bridge import Answer, bytes_of, callback, enlist, fork_count, milliseconds, raised, text_of
from .library import MESSAGE, library
from .message import Message, Topic
from .signals import SignalsLater
from .status import IpcnetError, Status
from .tensor import Memory

#: Between two looks at signals (Ctrl-C) while waiting.
SLICE_MS = 250
#: A program that only publishes takes on new readers this often.
HOUSEKEEPING_S = 0.02

_RECONNECT, _UNDUMPABLE = 1, 2
_ACKNOWLEDGE, _CBOR = 1, 2


@callback(c_api.OnNotice)
def _on_notice(target: "Core", status: int, text: bytes, count: int) -> None:
    for listener in target.notice_listeners:
        target.note(listener, abs(status), text_of(text), count)


@callback(c_api.OnEnd)
def _on_end(target: "Core", why: bytes) -> None:
    target.why_ended = text_of(why)
    for listener in target.end_listeners:
        target.note(listener, target.why_ended)


@callback(c_api.OnReturn)
def _on_return(target: "Core") -> None:
    target.why_ended = None
    for listener in target.return_listeners:
        target.note(listener)


@callback(c_api.OnLeaving)
def _on_leaving(target: "Core", deadline_ms: int, text: bytes) -> None:
    notice = LeavingNotice(target, deadline_ms, text_of(text))
    for listener in target.leaving_listeners:
        target.note(listener, notice)


class LeavingNotice:
    """The gateway or the robot goes down: save what is to be saved, then ``ready()``; or ask for ``more_time(ms)``, which returns the deadline that holds then."""

    def __init__(self, core: "Core", deadline_ms: int, text: str) -> None:
        self._core, self.deadline_ms, self.text = core, deadline_ms, text

    def ready(self) -> None:
        with self._core.locked() as handle:
            self._core.check(library().ready(handle))

    def more_time(self, for_ms: int) -> int:
        with self._core.locked() as handle:
            return self._core.check(library().more_time(handle, for_ms))


class _ClientPin:
    """The C client; closed when nobody needs its memory any more."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.forks = fork_count()
        self._close = library().close

    def __del__(self) -> None:
        if self.forks == fork_count():
            self._close(self.handle)


class _Locked:
    """The client's lock. Who finds it taken wakes up the one that waits for messages, who lets him pass."""

    def __init__(self, core: "Core") -> None:
        self._core = core

    def __enter__(self) -> int:
        core = self._core
        core.check_fork()
        core.hold()
        if core.pin is None:
            core.lock.release()
            raise IpcnetError(Status.SERVICE_UNAVAILABLE, "the client is closed")
        return core.pin.handle

    def __exit__(self, *_: Any) -> None:
        self._core.lock.release()


class Core:
    def __init__(self, socket_path: Optional[str], name: Optional[str], timeout: float, reconnect: bool, undumpable: bool) -> None:
        c = library()
        self.lock = threading.RLock()
        # Reentrant, as the collector may end a subscription anywhere.
        self.turnstile = threading.RLock()
        self.forks = fork_count()
        self.events: Deque[Tuple[Callable[..., Any], Tuple[Any, ...]]] = collections.deque()
        self.topics: Dict[int, Topic] = {}
        self.origins: Dict[int, str] = {}
        #: Calls that are to be answered (services.Call), by their C handle.
        self.calls: Dict[int, Any] = {}
        self.handles: "weakref.WeakSet[Any]" = weakref.WeakSet()
        #: Writers and offers last until they are closed, whether the program remembers them or not.
        self.kept: Set[Any] = set()
        self.notice_listeners: List[Callable[..., Any]] = []
        self.end_listeners: List[Callable[..., Any]] = []
        self.return_listeners: List[Callable[..., Any]] = []
        self.leaving_listeners: List[Callable[..., Any]] = []
        self.why_ended: Optional[str] = None
        self.is_over = False
        #: Whether publishing has to poll now and then, because nothing else may (a plain client that only publishes).
        self.keeps_house = True
        self._polled_s = 0.0
        self._locked = _Locked(self)
        options = c_api.ConnectOptions(bytes_of(socket_path), bytes_of(name), (_RECONNECT if reconnect else 0) | (_UNDUMPABLE if undumpable else 0), -1, max(1, int(timeout * 1000)))
        pointer = ctypes.c_void_p()
        status = c.connect(ctypes.byref(pointer), ctypes.byref(options))
        self.pin: Optional[_ClientPin] = _ClientPin(pointer.value) if pointer.value else None
        if status < 0:
            text = text_of(c.last_error_text(pointer))
            self.pin = None
            raise IpcnetError(-status, text)
        self._context = enlist(self)
        with self.locked() as handle:
            self._set_handlers(handle)
            self.fd: int = c.fd(handle)

    def _set_handlers(self, handle: int) -> None:
        # Without a handler the C client answers the gateway's notice by itself.
        on_leaving = _on_leaving if self.leaving_listeners else c_api.OnLeaving()
        library().set_handlers(handle, ctypes.byref(c_api.Handlers(self._context, _on_notice, _on_end, _on_return, on_leaving)))

    def on_leaving(self, listener: Callable[..., Any]) -> None:
        self.leaving_listeners.append(listener)
        with self.locked() as handle:
            self._set_handlers(handle)

    def locked(self) -> _Locked:
        return self._locked

    def hold(self) -> None:
        """Takes the lock (``lock.release()`` gives it back), waking up whoever waits for messages with it."""
        if self.lock.acquire(blocking=False):
            return
        with self.turnstile:
            if self.pin is not None:
                library().wakeup(self.pin.handle)
            self.lock.acquire()

    def check_fork(self) -> None:
        if self.forks != fork_count():
            raise IpcnetError(Status.PRECONDITION_FAILED, "this client was made before fork(): connect again in the child")

    def check(self, status: int) -> int:
        """The result of a C call, or its IpcnetError. To be called with the lock held."""
        if raised:
            error = raised.pop(threading.get_ident(), None)
            if error is not None:
                raise error
        if status < 0:
            raise IpcnetError(-status, text_of(library().last_error_text(self.pin.handle if self.pin else None)))
        return status

    def note(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Something for the program, to be called by ``dispatch``."""
        self.events.append((function, arguments))

    def poll(self, timeout_ms: int) -> None:
        """Reads what has come, waiting for up to timeout_ms."""
        # Whoever was held up by the one that polls stands at the turnstile: he goes first.
        with self.turnstile:
            pass
        with self.locked() as handle:
            signals = SignalsLater()
            try:
                signals.hold()
                status = library().poll(handle, timeout_ms)
            finally:
                signals.release()
            self._polled_s = time.monotonic()
            if status == -Status.SERVICE_UNAVAILABLE:
                self.is_over = True
                status = 0
            self.check(status)

    def keep_house(self) -> None:
        if self.keeps_house and time.monotonic() - self._polled_s > HOUSEKEEPING_S:
            self.poll(0)

    def dispatch(self) -> None:
        """Calls the program's functions for what was noted."""
        while self.events:
            try:
                function, arguments = self.events.popleft()
            except IndexError:
                # Another thread was faster.
                return
            function(*arguments)

    def wait(self, done: Callable[[], bool], timeout: Optional[float], turn: Optional[Callable[[], Any]] = None) -> bool:
        """Polls until ``done()``, or for ``timeout`` seconds (None: without end); calls ``turn`` after each poll, which says whether there is more to do at once. IpcnetError 303 when nothing can come any more."""
        deadline = None if timeout is None else time.monotonic() + timeout
        busy = False
        while not done():
            left = SLICE_MS if deadline is None else int((deadline - time.monotonic()) * 1000 + 0.999)
            if left <= 0:
                return False
            self.poll(0 if busy else min(left, SLICE_MS))
            busy = turn is not None and bool(turn())
            if self.is_over and not done():
                if turn is None or not (self.events or busy):
                    raise IpcnetError(Status.SERVICE_UNAVAILABLE, self.why_ended or "the connection has ended")
                # What is left to be told is being told by another thread, or by whoever called this.
                time.sleep(0.01)
        return True

    def close(self) -> None:
        """Ends everything. C memory that views still look at stays until they are gone."""
        if self.forks != fork_count():
            return
        for handle in list(self.handles):
            handle.close()
        with self.turnstile:
            self.hold()
            self.pin = None
            self.lock.release()
        self.calls.clear()
        self.events.clear()
        self.is_over = True

    # --- topics and messages ---

    def topic(self, pointer: int) -> Topic:
        found = self.topics.get(pointer)
        if found is None:
            found = self.topics[pointer] = Topic(pointer)
        return found

    def origin(self, pointer: int) -> str:
        found = self.origins.get(pointer)
        if found is None:
            found = self.origins[pointer] = text_of(ctypes.string_at(pointer)) if pointer else ""
        return found

    def messages(self, entries: Iterable[Any], view: memoryview, base: int) -> List[Message]:
        topic, origin = self.topic, self.origin
        return [Message(topic(entry[0]), entry, view, base, origin(entry[4])) for entry in entries]

    def find_topic(self, name: str) -> Topic:
        with self.locked() as handle:
            pointer = library().topic_find(handle, name.encode())
            if not pointer:
                raise IpcnetError(Status.NOT_FOUND, f"there is no topic {name} that this program may read or write")
            return self.topic(pointer)

    def list_topics(self, pattern: Optional[str]) -> List[Topic]:
        pointers = ctypes.c_void_p()
        with self.locked() as handle:
            count = self.check(library().topics(handle, bytes_of(pattern), ctypes.byref(pointers)))
            try:
                return [self.topic(pointer) for pointer in (ctypes.c_uint64 * count).from_address(pointers.value or 0)] if count else []
            finally:
                library().free(pointers)

    def query(self, topic: str, last: int) -> List[Message]:
        block = ctypes.c_void_p()
        with self.locked() as handle:
            count = self.check(library().query(handle, topic.encode(), last, ctypes.byref(block)))
            try:
                raw = ctypes.string_at(block, count * MESSAGE.size) if count else b""
                return [self._copied(entry) for entry in MESSAGE.iter_unpack(raw)]
            finally:
                library().free(block)

    def _copied(self, entry: Any) -> Message:
        """A message whose lineage and payload are copied out of C memory."""
        lineage = ctypes.string_at(entry[3], entry[15] * c_api.LINEAGE.size) if entry[15] else b""
        payload = ctypes.string_at(entry[1], entry[2]) if entry[2] else b""
        moved = (entry[0], len(lineage), entry[2], 0, *entry[4:])
        return self.messages([moved], memoryview(bytearray(lineage + payload)), 0)[0]

    def publish(self, topic: str, value: Any, ttl: float, acknowledge: bool, identity: Optional[str]) -> None:
        """Through the gateway: bytes in the topic's own encoding, anything else as CBOR that the gateway encodes."""
        flags = _ACKNOWLEDGE if acknowledge else 0
        if media.is_media(value):
            value = media.encode(value)
        if not isinstance(value, (bytes, bytearray, memoryview)):
            value, flags = cbor.dumps(value), flags | _CBOR
        memory = Memory(value)
        options = c_api.PublishOptions(bytes_of(identity), flags, milliseconds(ttl))
        with self.locked() as handle:
            self.check(library().publish(handle, topic.encode(), memory.address, memory.size, ctypes.byref(options)))

    # --- components, resources ---

    def announce(self, component: Dict[str, Any]) -> None:
        raw = cbor.dumps(component)
        with self.locked() as handle:
            self.check(library().announce(handle, raw, len(raw)))

    def find(self, what: str, pattern: Optional[str]) -> Any:
        reply = c_api.Reply()
        with self.locked() as handle:
            try:
                self.check(library().find(handle, what.encode(), bytes_of(pattern), ctypes.byref(reply)))
                return Answer(reply).body()
            finally:
                library().reply_free(ctypes.byref(reply))

    def grant(self, resource: str, mode: Optional[str]) -> int:
        with self.locked() as handle:
            return self.check(library().grant(handle, resource.encode(), bytes_of(mode)))

    def leaving(self, deadline: float, text: str) -> None:
        with self.locked() as handle:
            self.check(library().leaving(handle, milliseconds(deadline), text.encode()))

    def ping(self) -> None:
        with self.locked() as handle:
            self.check(library().ping(handle))

    def gateway(self) -> Dict[str, str]:
        with self.locked() as handle:
            return {what: text_of(library().gateway(handle, what.encode())) for what in ("robot", "version", "instance", "boot")}
