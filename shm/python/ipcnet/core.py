"""What the plain and the asyncio client share: one C client with its lock, its callbacks, and the handles made from it.

Threads: a C client belongs to one thread at a time, so every call takes the client's lock. Whoever waits for messages holds it while it sleeps in the kernel (without the GIL); others
wake it up, and pass first. Callbacks of the C library only note what happened; the program's own functions are called afterwards, with no lock held.

Memory: C handles are closed when the last Python object that needs them is gone, so that no view can outlive what it looks at.

Fork: a child shares the parent's socket and lanes and must not touch them. It gets an error instead, and closes nothing.
"""

from __future__ import annotations

import collections
import ctypes
import functools
import itertools
import json
import os
import threading
import time
import weakref
from typing import Any, Callable, Deque, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from . import cbor, library as c_api, media
from .descriptor import AnyFd, Descriptor, number_of
from .library import FDS_MAX, MESSAGE, CallInfo, library
from .message import Lineage, Message, Topic
from .status import IpcnetError, Status
from .tensor import Memory

#: Between two looks at signals (Ctrl-C) while waiting.
SLICE_MS = 250
MESSAGES_PER_DRAIN = 256
SCRATCH_BYTES = 256 << 10
#: Batches up to this are copied to memory of their own size, so that a small message that is kept keeps little.
COPY_BYTES_MAX = 64 << 10
#: A program that only publishes takes on new readers this often.
HOUSEKEEPING_S = 0.02

_POLICIES = {"latest": 0, "queue": 1, "lossless": 2}
_FIELD_TYPES = {"f64": 1, "f32": 2, "i8": 3, "u8": 4, "i16": 5, "u16": 6, "i32": 7, "u32": 8, "i64": 9, "u64": 10}
_RECONNECT, _UNDUMPABLE = 1, 2
_LAST_VALUE, _NO_LANES = 1, 2
_ACKNOWLEDGE, _CBOR = 1, 2
_NOT_IDEMPOTENT = 1

_forks = 0


def _after_fork() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_after_fork)

# --- callbacks from C -------------------------------------------------------------------------------------------------------------------

_keys = itertools.count(1)
#: Who a callback is for, by the number that C has as its context.
_live: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()
#: What a callback raised (Ctrl-C, mostly): C cannot pass it on, so whoever called C raises it.
_raised: Dict[int, BaseException] = {}


def _enlist(target: Any) -> int:
    key = next(_keys)
    _live[key] = target
    return key


def _callback(prototype: Any) -> Callable[[Callable[..., None]], Any]:
    def decorate(function: Callable[..., None]) -> Any:
        def call(context: int, *arguments: Any) -> None:
            try:
                target = _live.get(context)
                if target is not None:
                    function(target, *arguments)
            except BaseException as error:  # noqa: BLE001 -- raised again by the caller of C
                _raised[threading.get_ident()] = error

        return prototype(call)

    return decorate


def _text(raw: Optional[bytes]) -> str:
    return (raw or b"").decode("utf-8", "replace")


class Answer:
    """What a reply or an item holds, copied out of it: status, text, body (CBOR) and descriptors, which are whoever's who takes them."""

    __slots__ = ("status", "text", "raw", "fds")

    def __init__(self, reply: Any) -> None:
        self.status = int(reply.status)
        self.text = _text(reply.text)
        self.raw: Optional[bytes] = ctypes.string_at(reply.body, reply.body_bytes) if reply.body else None
        self.fds: List[int] = []
        for i in range(min(reply.fd_count, FDS_MAX)):
            self.fds.append(reply.fds[i])
            reply.fds[i] = -1

    def body(self) -> Any:
        return None if self.raw is None else cbor.loads(self.raw)

    def close(self) -> None:
        for fd in self.fds:
            if fd >= 0:
                os.close(fd)
        self.fds = []


@_callback(c_api.OnReady)
def _on_ready(target: "SubscriptionHandle", _handle: int) -> None:
    target.became_ready()


@_callback(c_api.OnReply)
def _on_reply(target: "Pending", _request: int, status: int, reply: Any) -> None:
    target.answer, target.status, target.done = Answer(reply.contents), status, True
    target.changed()


@_callback(c_api.OnItem)
def _on_item(target: "Pending", _request: int, item: Any) -> None:
    target.items.append(Answer(item.contents))
    target.changed()


@_callback(c_api.OnCall)
def _on_call(target: "OfferHandle", call: int) -> None:
    target.came(Call(target.core, call))


@_callback(c_api.OnCancel)
def _on_cancel(target: "OfferHandle", call: int, status: int, text: bytes) -> None:
    known = target.core.calls.get(call)
    if known is not None:
        known.cancelled = f"{status} {_text(text)}"
        target.core.note(known.changed)


@_callback(c_api.OnCredit)
def _on_credit(target: "OfferHandle", call: int, items: int) -> None:
    known = target.core.calls.get(call)
    if known is not None:
        known.credit += items
        target.core.note(known.changed)


@_callback(c_api.OnSpace)
def _on_space(target: "WriterHandle", _writer: int) -> None:
    target.core.note(target.has_space)


@_callback(c_api.OnReaders)
def _on_readers(target: "WriterHandle", _writer: int, readers: int) -> None:
    if target.on_readers is not None:
        target.core.note(target.on_readers, readers)


@_callback(c_api.OnLost)
def _on_lost(target: "WriterHandle", _writer: int, status: int, text: bytes) -> None:
    target.lost = IpcnetError(abs(status), _text(text))
    if target.on_lost is not None:
        target.core.note(target.on_lost, target.lost)


@_callback(c_api.OnNotice)
def _on_notice(target: "Core", status: int, text: bytes, count: int) -> None:
    for listener in target.notice_listeners:
        target.note(listener, abs(status), _text(text), count)


@_callback(c_api.OnEnd)
def _on_end(target: "Core", why: bytes) -> None:
    target.why_ended = _text(why)
    for listener in target.end_listeners:
        target.note(listener, target.why_ended)


@_callback(c_api.OnReturn)
def _on_return(target: "Core") -> None:
    target.why_ended = None


@_callback(c_api.OnLeaving)
def _on_leaving(target: "Core", deadline_ms: int, text: bytes) -> None:
    notice = LeavingNotice(target, deadline_ms, _text(text))
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


# --- the client -------------------------------------------------------------------------------------------------------------------------


class _ClientPin:
    """The C client; closed when nobody needs its memory any more."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.forks = _forks
        self._close = library().close

    def __del__(self) -> None:
        if self.forks == _forks:
            self._close(self.handle)


class _Locked:
    """The client's lock. Who finds it taken wakes up the one that waits for messages, who lets him pass."""

    def __init__(self, core: "Core") -> None:
        self._core = core

    def __enter__(self) -> int:
        core = self._core
        core.check_fork()
        if not core.lock.acquire(blocking=False):
            with core.turnstile:
                if core.pin is not None:
                    library().wakeup(core.pin.handle)
                core.lock.acquire()
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
        self.turnstile = threading.Lock()
        self.forks = _forks
        self.events: Deque[Tuple[Callable[..., Any], Tuple[Any, ...]]] = collections.deque()
        self.topics: Dict[int, Topic] = {}
        self.origins: Dict[int, str] = {}
        self.calls: Dict[int, Call] = {}
        self.handles: "weakref.WeakSet[Any]" = weakref.WeakSet()
        #: Writers and offers last until they are closed, whether the program remembers them or not.
        self.kept: Set[Any] = set()
        self.notice_listeners: List[Callable[..., Any]] = []
        self.end_listeners: List[Callable[..., Any]] = []
        self.leaving_listeners: List[Callable[..., Any]] = []
        self.why_ended: Optional[str] = None
        self.is_over = False
        #: Whether publishing has to poll now and then, because nothing else may (a plain client that only publishes).
        self.keeps_house = True
        self._polled_s = 0.0
        self._locked = _Locked(self)
        options = c_api.ConnectOptions(_bytes(socket_path), _bytes(name), (_RECONNECT if reconnect else 0) | (_UNDUMPABLE if undumpable else 0), -1, max(1, int(timeout * 1000)))
        pointer = ctypes.c_void_p()
        status = c.connect(ctypes.byref(pointer), ctypes.byref(options))
        self.pin: Optional[_ClientPin] = _ClientPin(pointer.value) if pointer.value else None
        if status < 0:
            text = _text(c.last_error_text(pointer))
            self.pin = None
            raise IpcnetError(-status, text)
        handlers = c_api.Handlers(_enlist(self), _on_notice, _on_end, _on_return, _on_leaving)
        with self.locked() as handle:
            c.set_handlers(handle, ctypes.byref(handlers))
            self.fd: int = c.fd(handle)

    def locked(self) -> _Locked:
        return self._locked

    def check_fork(self) -> None:
        if self.forks != _forks:
            raise IpcnetError(Status.PRECONDITION_FAILED, "this client was made before fork(): connect again in the child")

    def check(self, status: int) -> int:
        """The result of a C call, or its IpcnetError. To be called with the lock held."""
        if _raised:
            error = _raised.pop(threading.get_ident(), None)
            if error is not None:
                raise error
        if status < 0:
            raise IpcnetError(-status, _text(library().last_error_text(self.pin.handle if self.pin else None)))
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
            status = library().poll(handle, timeout_ms)
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
            function, arguments = self.events.popleft()
            function(*arguments)

    def wait(self, done: Callable[[], bool], timeout: Optional[float], turn: Optional[Callable[[], Any]] = None) -> bool:
        """Polls until ``done()``, or for ``timeout`` seconds (None: without end); calls ``turn`` after each poll. IpcnetError 303 when nothing can come any more."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not done():
            left = SLICE_MS if deadline is None else int((deadline - time.monotonic()) * 1000 + 0.999)
            if left <= 0:
                return False
            self.poll(min(left, SLICE_MS))
            if turn is not None:
                turn()
            if self.is_over and not done() and not self.events:
                raise IpcnetError(Status.SERVICE_UNAVAILABLE, self.why_ended or "the connection has ended")
        return True

    def close(self) -> None:
        """Ends everything. C memory that views still look at stays until they are gone."""
        if self.forks != _forks:
            return
        for handle in list(self.handles):
            handle.close()
        with self.turnstile:
            if self.pin is not None:
                library().wakeup(self.pin.handle)
            with self.lock:
                self.pin = None
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
            found = self.origins[pointer] = _text(ctypes.string_at(pointer)) if pointer else ""
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
            count = self.check(library().topics(handle, _bytes(pattern), ctypes.byref(pointers)))
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
        options = c_api.PublishOptions(_bytes(identity), flags, _milliseconds(ttl))
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
                self.check(library().find(handle, what.encode(), _bytes(pattern), ctypes.byref(reply)))
                return Answer(reply).body()
            finally:
                library().reply_free(ctypes.byref(reply))

    def grant(self, resource: str, mode: Optional[str]) -> int:
        with self.locked() as handle:
            return self.check(library().grant(handle, resource.encode(), _bytes(mode)))

    def leaving(self, deadline: float, text: str) -> None:
        with self.locked() as handle:
            self.check(library().leaving(handle, _milliseconds(deadline), text.encode()))

    def ping(self) -> None:
        with self.locked() as handle:
            self.check(library().ping(handle))

    def gateway(self) -> Dict[str, str]:
        with self.locked() as handle:
            return {what: _text(library().gateway(handle, what.encode())) for what in ("robot", "version", "instance", "boot")}


def _bytes(text: Optional[str]) -> Optional[bytes]:
    return None if text is None else os.fsencode(text)


def _milliseconds(seconds: float) -> int:
    return max(0, min(0xFFFFFFFF, int(seconds * 1000 + 0.5)))


# --- subscriptions ------------------------------------------------------------------------------------------------------------------------


class _SubscriptionPin:
    """The C subscription; ended when no lease's view needs its memory any more."""

    def __init__(self, core: Core, handle: int) -> None:
        self._core, self._client, self.handle = core, core.pin, handle
        self._end = library().unsubscribe

    def __del__(self) -> None:
        if self._core.forks == _forks:
            with self._core.lock:
                self._end(self.handle)


class SubscriptionHandle:
    def __init__(self, core: Core, pattern: str, policy: str, queue: int, rate_hz_max: float, last_value: bool, lanes: bool) -> None:
        if policy not in _POLICIES:
            raise IpcnetError(Status.BAD_REQUEST, f"a policy is latest, queue or lossless, not {policy}")
        self.core = core
        self.ready_listener: Optional[Callable[[], Any]] = None
        self._ready = True
        self._key = _enlist(self)
        self._entries = (ctypes.c_char * (MESSAGE.size * MESSAGES_PER_DRAIN))()
        self._entries_at = ctypes.addressof(self._entries)
        self._entries_view = memoryview(self._entries).cast("B")
        self._spare: List[bytearray] = []
        self._new_scratch(SCRATCH_BYTES)
        flags = (_LAST_VALUE if last_value else 0) | (0 if lanes else _NO_LANES)
        options = c_api.SubscribeOptions(self._key, c_api.OnMessage(), _on_ready, rate_hz_max, flags, _POLICIES[policy], queue)
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
        self._room = len(self._scratch) - self._start

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


# --- writers --------------------------------------------------------------------------------------------------------------------------------


class Loan:
    """Room in the lane for a payload: fill ``buffer`` in place; it is published when the block ends, given up when the block raises."""

    def __init__(self, writer: "WriterHandle", size: int, meta: Any) -> None:
        self._writer, self._size, self._meta = writer, size, meta
        #: How many bytes of the room are the payload; all unless set.
        self.payload_bytes = size
        #: A memoryview of the room; writing to views of it after the block is undefined.
        self.buffer: memoryview = memoryview(b"")
        self.published = False

    def __enter__(self) -> "Loan":
        self._writer.core.keep_house()
        address = self._writer.loan(self._size, self._meta)
        if address is not None:
            raw: Any = (ctypes.c_char * self._size).from_address(address)
            raw.owner = self._writer.core.pin
            self.buffer = memoryview(raw).cast("B")
        else:
            raise IpcnetError(Status.TOO_MANY_REQUESTS, "a lossless reader is behind")
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        self.buffer = memoryview(b"")
        if kind is not None:
            self._writer.give_up()
        else:
            self._writer.commit(self.payload_bytes, self._meta)
            self.published = True


class WriterHandle:
    """A topic that this program writes through a lane of its own."""

    def __init__(self, core: Core, topic: str, options: Dict[str, Any]) -> None:
        self.core = core
        self.lost: Optional[IpcnetError] = None
        self.on_readers: Optional[Callable[[int], Any]] = options.get("on_readers")
        self.on_lost: Optional[Callable[[IpcnetError], Any]] = options.get("on_lost")
        self.space_listener: Optional[Callable[[], Any]] = None
        self._key = _enlist(self)
        fields = options.get("fields") or {}
        definitions = (c_api.FieldDefinition * max(1, len(fields)))(*(_field_definition(name, field) for name, field in fields.items()))
        encoding, schema = options.get("encoding"), options.get("json_schema")
        if options.get("constraints"):
            schema = json.dumps(options["constraints"])
        c_options = c_api.AdvertiseOptions(
            _bytes(encoding), _bytes(options.get("record_name")), definitions if fields else None, None if schema is None else schema.encode(), options.get("schema_hash") or 0, options.get("payload_bytes_max") or 0, self._key, _on_space, _on_readers,
            _on_lost, len(fields), _POLICIES[options.get("policy") or "queue"], options.get("queue") or 0, _milliseconds(options.get("deadline") or 0),
        )
        pointer = ctypes.c_void_p()
        with core.locked() as handle:
            core.check(library().advertise(handle, topic.encode(), ctypes.byref(c_options), ctypes.byref(pointer)))
            self._handle: Optional[int] = pointer.value
            self.topic: Topic = core.topic(library().writer_topic(self._handle))
        core.handles.add(self)
        core.kept.add(self)

    def _open(self) -> int:
        if self._handle is None:
            raise IpcnetError(Status.SERVICE_UNAVAILABLE, "the writer is closed")
        return self._handle

    def has_space(self) -> None:
        if self.space_listener is not None:
            self.space_listener()

    def publish(self, value: Any, meta: Any) -> bool:
        """False: a lossless reader is behind."""
        self.core.keep_house()
        if media.is_media(value):
            return self._publish_media(value, meta)
        memory = Memory(self.topic.encode(value))
        with self.core.locked():
            status = library().writer_publish(self._open(), memory.address, memory.size, meta)
            return self._verdict(status)

    def _publish_media(self, value: Any, meta: Any) -> bool:
        """Header and data straight into the lane: one copy."""
        encoding, header, data = media.parts(value)
        if encoding != self.topic.encoding:
            raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"{self.topic.name} is of encoding {self.topic.encoding}, not {encoding}")
        size = len(header) + data.nbytes
        memory = Memory(data)
        with self.core.locked():
            address = self.loan(size, meta)
            if address is None:
                return False
            ctypes.memmove(address, bytes(header), len(header))
            ctypes.memmove(address + len(header), memory.address, memory.size)
            self.commit(size, meta)
        return True

    def _verdict(self, status: int) -> bool:
        if status == -Status.TOO_MANY_REQUESTS:
            return False
        self.core.check(status)
        return True

    def loan(self, size: int, meta: Any) -> Optional[int]:
        pointer = ctypes.c_void_p()
        with self.core.locked():
            status = library().writer_loan(self._open(), size, meta.lineage_count if meta is not None else 0, ctypes.byref(pointer))
            return pointer.value if self._verdict(status) else None

    def commit(self, size: int, meta: Any) -> None:
        with self.core.locked():
            self.core.check(library().writer_commit(self._open(), size, meta))

    def give_up(self) -> None:
        with self.core.locked():
            library().writer_give_up(self._open())

    def flush(self) -> None:
        with self.core.locked():
            library().writer_flush(self._open())

    def space(self, timeout_ms: int) -> bool:
        with self.core.turnstile:
            pass
        with self.core.locked():
            return bool(self.core.check(library().writer_wait(self._open(), timeout_ms)))

    @property
    def readers(self) -> int:
        with self.core.locked():
            return int(library().writer_readers(self._open()))

    @property
    def payload_bytes_max(self) -> int:
        with self.core.locked():
            return int(library().writer_payload_bytes_max(self._open()))

    def stats(self) -> Dict[str, int]:
        stats = c_api.WriterStats()
        with self.core.locked():
            library().writer_stats(self._open(), ctypes.byref(stats))
        return {name: getattr(stats, name) for name in ("published", "payload_bytes", "rings", "refused_full", "demoted", "next_sequence", "readers")}

    def close(self) -> None:
        self.core.kept.discard(self)
        handle, self._handle = self._handle, None
        if handle is not None and self.core.forks == _forks and self.core.pin is not None:
            with self.core.locked():
                library().writer_close(handle)


def _field_definition(name: str, field: Any) -> Any:
    """Of "f64", or of a dict {type, unit, minimum, maximum}."""
    spec: Dict[str, Any] = {"type": field} if isinstance(field, str) else dict(field)
    if spec.get("type") not in _FIELD_TYPES:
        raise IpcnetError(Status.BAD_REQUEST, f"{name}: a field is of type {', '.join(_FIELD_TYPES)}, not {spec.get('type')}")
    nan = float("nan")
    return c_api.FieldDefinition(name.encode(), _bytes(spec.get("unit")), _limit(spec.get("minimum"), nan), _limit(spec.get("maximum"), nan), _FIELD_TYPES[spec["type"]])


def _limit(value: Optional[float], none: float) -> float:
    return none if value is None else float(value)


def meta_of(lineage: Sequence[Any], ttl: float, quality: str, key_frame: bool, kind: int, more: bool) -> Any:
    """struct ipcnet_meta, or None when there is nothing to say."""
    if not lineage and not ttl and quality == "good" and not key_frame and not kind and not more:
        return None
    entries = [item.as_lineage() if isinstance(item, Message) else Lineage(*item) for item in lineage]
    inputs = (c_api.Lineage * max(1, len(entries)))(*(c_api.Lineage(*entry) for entry in entries))
    meta = c_api.Meta(inputs if entries else None, 0, 0, _milliseconds(ttl), ("good", "stale", "bad").index(quality), 4 if key_frame else 0, kind, len(entries), 1 if more else 0)
    return meta


# --- calling services -----------------------------------------------------------------------------------------------------------------------


class Pending:
    """A request on its way."""

    def __init__(self, core: Core, service: str, body: Any, timeout: Optional[float], fds: Sequence[AnyFd], idempotent: bool, credit: int) -> None:
        if len(fds) > FDS_MAX:
            raise IpcnetError(Status.BAD_REQUEST, f"{len(fds)} descriptors, at most {FDS_MAX}")
        self.core = core
        self.service = service
        self.done = False
        self.status = 0
        self.answer: Optional[Answer] = None
        self.items: Deque[Answer] = collections.deque()
        self.listener: Optional[Callable[[], Any]] = None
        self._taken = 0
        self._credit = credit
        raw = None if body is None else cbor.dumps(body)
        array = _fd_array(fds)
        options = c_api.RequestOptions(array, len(fds), 0 if timeout is None else max(1, _milliseconds(timeout)), credit, 0 if idempotent else _NOT_IDEMPOTENT)
        with core.locked() as handle:
            self.number: int = core.check(library().request_start(handle, service.encode(), raw, len(raw or b""), ctypes.byref(options), _on_reply, _on_item, _enlist(self)))

    def __del__(self) -> None:
        for answer in (*self.items, *([self.answer] if self.answer else [])):
            answer.close()

    def changed(self) -> None:
        if self.listener is not None:
            self.core.note(self.listener)

    def result(self) -> Answer:
        """The answer, or its IpcnetError."""
        answer, self.answer = self.answer, None
        assert answer is not None
        if self.status < 0:
            answer.close()
            raise IpcnetError(-self.status, answer.text or self.service, answer.body())
        return answer

    def next_item(self) -> Optional[Answer]:
        if not self.items:
            return None
        self._taken += 1
        # Half of it at a time: one message for many items.
        if self._taken * 2 >= self._credit and not self.done:
            with self.core.locked() as handle:
                library().request_credit(handle, self.number, self._taken)
            self._taken = 0
        return self.items.popleft()

    def cancel(self) -> None:
        if self.done or self.core.pin is None or self.core.forks != _forks:
            return
        with self.core.locked() as handle:
            library().request_cancel(handle, self.number)


# --- offering services ----------------------------------------------------------------------------------------------------------------------


class Reply:
    """What a handler returns when there is more to say than a value: descriptors (which stay the handler's), or a status of the application."""

    def __init__(self, body: Any = None, fds: Sequence[AnyFd] = (), status: int = Status.OK, text: str = "") -> None:
        self.body, self.fds, self.status, self.text = body, list(fds), int(status), text


class Call:
    """A call that somebody made. The handler's return value answers it; ``fds`` are closed then, unless ``take_fd`` has taken them."""

    def __init__(self, core: Core, handle: int) -> None:
        info = CallInfo()
        library().call_info(handle, ctypes.byref(info))
        self._core = core
        self._handle: Optional[int] = handle
        self.service: str = _text(info.service)
        self._raw: Optional[bytes] = ctypes.string_at(info.body, info.body_bytes) if info.body else None
        #: Who calls, by the gateway's word.
        self.component: str = _text(info.component)
        self.uid: int = info.uid
        self.pid: int = info.pid
        #: time.monotonic_ns() from which nobody waits for the answer.
        self.deadline_ns: int = info.deadline_ns
        self.wants_stream: bool = bool(info.stream)
        #: Items that the caller takes now.
        self.credit: int = info.credit
        #: Why nobody waits any more; None while somebody does.
        self.cancelled: Optional[str] = None
        self.fds: List[int] = list(info.fds[: min(info.fd_count, FDS_MAX)])
        self.listener: Optional[Callable[[], Any]] = None
        core.calls[handle] = self

    @property
    def body(self) -> Any:
        return None if self._raw is None else cbor.loads(self._raw)

    def changed(self) -> None:
        if self.listener is not None:
            self.listener()

    @property
    def is_open(self) -> bool:
        return self._handle is not None

    def take_fd(self, index: int = 0) -> Descriptor:
        """Descriptor number ``index``, from now on the handler's."""
        with self._core.locked():
            return Descriptor(self._core.check(library().call_take_fd(self._need(), index)))

    def _need(self) -> int:
        if self._handle is None or self._core.calls.get(self._handle) is not self:
            raise IpcnetError(Status.CONFLICT, "the call was answered before, or its connection is gone")
        return self._handle

    def item(self, value: Any) -> bool:
        """An item of a stream; False when the caller has given no credit for it."""
        reply = value if isinstance(value, Reply) else Reply(value)
        raw = cbor.dumps(reply.body)
        with self._core.locked():
            status = library().call_item(self._need(), raw, len(raw), _fd_array(reply.fds), len(reply.fds))
            if status == -Status.TOO_MANY_REQUESTS:
                self.credit = 0
                return False
            self._core.check(status)
            self.credit -= 1
            return True

    def answer(self, value: Any) -> None:
        """The answer, exactly once. An IpcnetError is a refusal; a caller that has gone does not matter."""
        if isinstance(value, IpcnetError):
            reply = Reply(value.details, (), value.status, value.text)
        else:
            reply = value if isinstance(value, Reply) else Reply(value)
        raw = None if reply.body is None else cbor.dumps(reply.body)
        with self._core.locked():
            handle = self._need()
            self._handle = None
            del self._core.calls[handle]
            library().call_answer(handle, reply.status, _bytes(reply.text), raw, len(raw or b""), _fd_array(reply.fds), len(reply.fds))


def _fd_array(fds: Sequence[AnyFd]) -> Any:
    return (ctypes.c_int * len(fds))(*(number_of(fd) for fd in fds)) if fds else None


def as_error(error: BaseException) -> IpcnetError:
    """What a caller is told of an exception: an IpcnetError as it is, another one as 300 with its name and text."""
    return error if isinstance(error, IpcnetError) else IpcnetError(Status.INTERNAL_ERROR, f"{type(error).__name__}: {error}")


class OfferHandle:
    def __init__(self, core: Core, service: str, came: Callable[["OfferHandle", Call], Any], options: Dict[str, Any]) -> None:
        self.core = core
        self.service = service
        self._came = came
        self._key = _enlist(self)
        allow, deny = list(options.get("allow") or []), list(options.get("deny") or [])
        c_options = c_api.OfferOptions(
            self._key, _on_call, _on_cancel, _on_credit, _bytes(options.get("group")), _bytes(options.get("description")), _text_array(allow), _text_array(deny), len(allow), len(deny),
            options.get("rate_hz_max") or 0.0, options.get("calls_max") or 0, options.get("capacity") or 0,
        )
        pointer = ctypes.c_void_p()
        with core.locked() as handle:
            core.check(library().offer(handle, service.encode(), ctypes.byref(c_options), ctypes.byref(pointer)))
            self._handle: Optional[int] = pointer.value
        core.handles.add(self)
        core.kept.add(self)

    def came(self, call: Call) -> None:
        self.core.note(functools.partial(self._came, self, call))

    def close(self) -> None:
        """No new calls come; running ones may still be answered."""
        self.core.kept.discard(self)
        handle, self._handle = self._handle, None
        if handle is not None and self.core.forks == _forks and self.core.pin is not None:
            with self.core.locked():
                library().offer_close(handle)


def _text_array(texts: Sequence[str]) -> Any:
    return (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts)) if texts else None
