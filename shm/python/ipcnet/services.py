"""Services over C: requests on their way, calls to be answered, offers."""

from __future__ import annotations

import collections
import ctypes
import functools
import logging
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence

from . import cbor, library as c_api
from .bridge import Answer, bytes_of, callback, enlist, fork_count, milliseconds, text_of
from .core import Core
from .descriptor import AnyFd, Descriptor, number_of
from .library import FDS_MAX, CallInfo, library
from .status import IpcnetError, Status

_NOT_IDEMPOTENT = 1


@callback(c_api.OnReply)
def _on_reply(target: "Pending", _request: int, status: int, reply: Any) -> None:
    target.answer, target.status, target.done = Answer(reply.contents), status, True
    target.changed()


@callback(c_api.OnItem)
def _on_item(target: "Pending", _request: int, item: Any) -> None:
    target.items.append(Answer(item.contents))
    target.changed()


@callback(c_api.OnCall)
def _on_call(target: "OfferHandle", call: int) -> None:
    target.came(Call(target.core, call))


@callback(c_api.OnCancel)
def _on_cancel(target: "OfferHandle", call: int, status: int, text: bytes) -> None:
    known = target.core.calls.get(call)
    if known is not None:
        known.cancelled = f"{status} {text_of(text)}"
        target.core.note(known.changed)
        target.core.note(known.tell_cancel)


@callback(c_api.OnCredit)
def _on_credit(target: "OfferHandle", call: int, items: int) -> None:
    known = target.core.calls.get(call)
    if known is not None:
        known.credit += items
        target.core.note(known.changed)
        target.core.note(known.tell_credit)


class Pending:
    """A request on its way."""

    def __init__(self, core: Core, service: str, body: Any, timeout: Optional[float], fds: Sequence[AnyFd], idempotent: bool, credit: int, group: Optional[str] = None) -> None:
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
        array = fd_array(fds)
        options = c_api.RequestOptions(array, len(fds), 0 if timeout is None else max(1, milliseconds(timeout)), credit, 0 if idempotent else _NOT_IDEMPOTENT, bytes_of(group))
        with core.locked() as handle:
            self.number: int = core.check(library().request_start(handle, service.encode(), raw, len(raw or b""), ctypes.byref(options), _on_reply, _on_item, enlist(self)))

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
        if self.done or self.core.pin is None or self.core.forks != fork_count():
            return
        with self.core.locked() as handle:
            library().request_cancel(handle, self.number)


class Reply:
    """What a handler returns when there is more to say than a value: descriptors (which stay the handler's), or a status of the application."""

    def __init__(self, body: Any = None, fds: Sequence[AnyFd] = (), status: int = Status.OK, text: str = "") -> None:
        self.body, self.fds, self.status, self.text = body, list(fds), int(status), text


class _Later:
    def __repr__(self) -> str:
        return "ipcnet.LATER"


#: What a handler returns that will answer its call later, by ``call.answer`` (and, in a stream, ``call.item``).
LATER = _Later()


class Call:
    """
    A call that somebody made. The handler's return value answers it, or, after ``LATER``, ``answer``; ``fds`` are closed then, unless ``take_fd`` has taken them.
    Every call is answered once, also a cancelled one: until then it takes one of the offer's places.
    """

    def __init__(self, core: Core, handle: int) -> None:
        info = CallInfo()
        library().call_info(handle, ctypes.byref(info))
        self._core = core
        self._handle: Optional[int] = handle
        self.service: str = text_of(info.service)
        self._raw: Optional[bytes] = ctypes.string_at(info.body, info.body_bytes) if info.body else None
        #: Who calls, by the gateway's word.
        self.component: str = text_of(info.component)
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
        self._cancel_listener: Optional[Callable[[str], Any]] = None
        self._credit_listener: Optional[Callable[[], Any]] = None
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

    def on_cancel(self, listener: Callable[[str], Any]) -> None:
        """Called once with the reason when nobody waits for the answer any more; at once in the next turn if that is so already. Not after the answer, nor when its offer was closed."""
        self._cancel_listener = listener
        if self.cancelled is not None:
            self._core.note(self.tell_cancel)

    def on_credit(self, listener: Callable[[], Any]) -> None:
        """Called when the caller of a stream takes more items: ``credit`` says how many."""
        self._credit_listener = listener

    def tell_cancel(self) -> None:
        listener, self._cancel_listener = self._cancel_listener, None
        if listener is not None and self.is_open:
            listener(self.cancelled or "cancelled")

    def tell_credit(self) -> None:
        if self._credit_listener is not None and self.is_open:
            self._credit_listener()

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
            status = library().call_item(self._need(), raw, len(raw), fd_array(reply.fds), len(reply.fds))
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
            library().call_answer(handle, reply.status, bytes_of(reply.text), raw, len(raw or b""), fd_array(reply.fds), len(reply.fds))


def fd_array(fds: Sequence[AnyFd]) -> Any:
    return (ctypes.c_int * len(fds))(*(number_of(fd) for fd in fds)) if fds else None


def as_error(error: BaseException) -> IpcnetError:
    """What a caller is told of a handler's exception: an IpcnetError as it is, another one as 300 with its name and text; that one is logged too, with its traceback."""
    if isinstance(error, IpcnetError):
        return error
    logging.getLogger("ipcnet").error("a service's handler failed", exc_info=error)
    return IpcnetError(Status.INTERNAL_ERROR, f"{type(error).__name__}: {error}")


class OfferHandle:
    def __init__(self, core: Core, service: str, came: Callable[["OfferHandle", Call], Any], options: Dict[str, Any]) -> None:
        self.core = core
        self.service = service
        self._came = came
        self._key = enlist(self)
        allow, deny = list(options.get("allow") or []), list(options.get("deny") or [])
        c_options = c_api.OfferOptions(
            self._key, _on_call, _on_cancel, _on_credit, bytes_of(options.get("group")), bytes_of(options.get("description")), _text_array(allow), _text_array(deny), len(allow), len(deny),
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
        if handle is not None and self.core.forks == fork_count() and self.core.pin is not None:
            with self.core.locked():
                library().offer_close(handle)


def _text_array(texts: Sequence[str]) -> Any:
    return (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts)) if texts else None
