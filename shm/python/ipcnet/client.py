"""The plain client: calls that wait, iterators, and callbacks that run while the program waits in ``run``, ``poll`` or an iteration."""

from __future__ import annotations

import collections
import inspect
import threading
import time
from typing import Any, Callable, Deque, Dict, Generator, Iterator, List, Optional, Sequence, Tuple

from .bridge import Answer
from .core import SLICE_MS, Core, LeavingNotice
from .descriptor import AnyFd, Descriptor
from .message import Message, Topic
from .reading import MESSAGES_PER_DRAIN, SubscriptionHandle
from .services import LATER, Call, OfferHandle, Pending, Reply, as_error
from .status import IpcnetError, Status
from .writing import Loan, WriterHandle, meta_of

#: Seconds that a request may take unless it says otherwise.
TIMEOUT = 5.0
#: Items of a stream that may come before the program has taken any.
CREDIT = 32


def connect(socket_path: Optional[str] = None, *, name: Optional[str] = None, timeout: float = 2.0, reconnect: bool = False, undumpable: bool = False) -> "Client":
    """
    Connects to the gateway: at ``socket_path``, else $IPCNET_SOCKET, else /run/ipcnet/ipcnet.sock, else $XDG_RUNTIME_DIR/ipcnet/ipcnet.sock.
    ``name`` is what the gateway's status calls this program; it grants nothing. ``reconnect``: come back when the gateway restarts. ``undumpable``: nobody of the same user may trace this process.
    """
    return Client(Core(socket_path, name, timeout, reconnect, undumpable))


class Subscription:
    """Messages, by iterating (without end), ``next``, ``drain``, or the callback. Closed with ``close`` or at the end of a ``with`` block."""

    def __init__(self, client: "Client", handle: SubscriptionHandle, callback: Optional[Callable[[Message], Any]]) -> None:
        self._client, self._handle, self._callback = client, handle, callback
        self._batch: Deque[Message] = collections.deque()

    @property
    def matches(self) -> bool:
        """Whether a topic matched when the subscription began."""
        return bool(self._handle.matches)

    @property
    def _is_due(self) -> bool:
        return not self._handle.is_closed and (bool(self._batch) or self._handle.is_ready)

    def _deliver(self) -> None:
        """Calls the callback for a batch. What the callback raises (or Ctrl-C) leaves the rest for the next turn."""
        if not self._batch:
            self._batch.extend(self._handle.drain())
        while self._batch and not self._handle.is_closed and self._callback is not None:
            self._callback(self._batch.popleft())

    def drain(self, limit: int = MESSAGES_PER_DRAIN) -> List[Message]:
        """What has come so far, at most ``limit`` messages (and at most 256 at once); waits for nothing."""
        if self._batch:
            return [self._batch.popleft() for _ in range(min(limit, len(self._batch)))]
        messages = self._handle.drain(limit)
        if not messages:
            self._client._core.poll(0)
            messages = self._handle.drain(limit)
        return messages

    def next(self, timeout: Optional[float] = None) -> Optional[Message]:
        """The next message; None after ``timeout`` seconds. What else the client has to do is done while this waits."""
        if not self._batch:
            self._batch.extend(self._handle.drain())
        if not self._batch and not self._client._wait(self._fill, timeout):
            return None
        return self._batch.popleft()

    def _fill(self) -> bool:
        if not self._batch and self._handle.is_ready:
            self._batch.extend(self._handle.drain())
        return bool(self._batch)

    def __iter__(self) -> "Subscription":
        return self

    def __next__(self) -> Message:
        if self._handle.is_closed and not self._batch:
            raise StopIteration
        message = self.next()
        assert message is not None
        return message

    def lease(self) -> "Lease":
        """Zero-copy: ``with subscription.lease() as message``, where message is the next one as it lies in the writer's memory, or None."""
        return Lease(self._handle)

    def stats(self) -> Dict[str, int]:
        """messages, lost, corrupt, lanes, broken, kept_bytes."""
        return self._handle.stats()

    def close(self) -> None:
        self._handle.close()

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class Lease:
    """
    A message where it lies. Its writer may overwrite it at any time: the end of the block raises IpcnetError 211 if that happened, and what was computed is void.
    Views that are kept longer show whatever stands there then; the memory stays mapped as long as they live.
    """

    def __init__(self, handle: SubscriptionHandle) -> None:
        self._handle = handle
        self._leased = False

    def __enter__(self) -> Optional[Message]:
        leased = self._handle.lease()
        self._leased = leased is not None
        return leased[0] if leased is not None else None

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self._leased:
            try:
                self._handle.release()
            except IpcnetError:
                if kind is None:
                    raise


class Writer:
    """A topic that this program writes at memory speed. Closed with ``close``, at the end of a ``with`` block, or with its client."""

    def __init__(self, client: "Client", handle: WriterHandle) -> None:
        self._client, self._handle = client, handle

    @property
    def topic(self) -> Topic:
        return self._handle.topic

    def publish(self, value: Any, *, ttl: float = 0, lineage: Sequence[Any] = (), quality: str = "good", key_frame: bool = False, kind: int = 0, more: bool = False) -> bool:
        """
        Publishes a value as the topic's encoding wants it (dict for records, Tensor, Video …), or bytes as they are. ``lineage``: the messages it was made from. ``more``: others follow at once, wake
        readers with the last one. False when a lossless reader is behind and must not lose anything: wait with ``space``, or try again.
        """
        return self._handle.publish(value, meta_of(lineage, ttl, quality, key_frame, kind, more))

    def loan(self, payload_bytes: int, *, ttl: float = 0, lineage: Sequence[Any] = (), quality: str = "good", key_frame: bool = False, kind: int = 0) -> Loan:
        """Zero-copy: ``with writer.loan(size) as loan: fill(loan.buffer)``."""
        return Loan(self._handle, payload_bytes, meta_of(lineage, ttl, quality, key_frame, kind, False))

    def space(self, timeout: Optional[float] = None) -> bool:
        """Waits until a lossless reader has read on; False after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = SLICE_MS if deadline is None else int((deadline - time.monotonic()) * 1000 + 0.999)
            if self._handle.space(max(0, min(left, SLICE_MS))):
                return True
            if left <= 0:
                return False

    def flush(self) -> None:
        """Wakes readers after messages with ``more``."""
        self._handle.flush()

    @property
    def readers(self) -> int:
        return self._handle.readers

    @property
    def payload_bytes_max(self) -> int:
        return self._handle.payload_bytes_max

    def stats(self) -> Dict[str, int]:
        """published, payload_bytes, rings, refused_full, demoted, next_sequence, readers."""
        return self._handle.stats()

    def close(self) -> None:
        self._handle.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class Offer:
    """A service that this program offers, until ``close``."""

    def __init__(self, handle: OfferHandle) -> None:
        self._handle = handle

    @property
    def service(self) -> str:
        return self._handle.service

    def close(self) -> None:
        self._handle.close()

    def __enter__(self) -> "Offer":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def takes_call(handler: Callable[..., Any]) -> bool:
    """Whether a handler wants (body, call) and not the body alone."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) >= 2 or any(p.kind == p.VAR_POSITIONAL for p in parameters)


class Client:
    """A connection to the gateway. Any thread may use it. ``with connect() as client: …`` closes it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._streams: Deque[Tuple[Call, Iterator[Any], List[Any]]] = collections.deque()
        #: The thread that has its turn, and whether it is calling the program's functions.
        self._turns: Dict[str, int] = {}
        self._serving = False
        self._stopped = False
        self._subscriptions: List[Subscription] = []

    # --- waiting ---

    def _wait(self, done: Callable[[], bool], timeout: Optional[float]) -> bool:
        return self._core.wait(done, timeout, self._turn)

    def _turn(self) -> bool:
        """
        The program's functions, a batch of messages of each subscription, an item of each stream whose caller wants one. They run one at a time: not from two threads, and not inside each other.
        Returns whether there is more to do at once.
        """
        me = threading.get_ident()
        # Ctrl-C may strike between any two of these: a turn that was taken and not begun is this thread's to take again.
        if self._turns.setdefault("who", me) != me or self._serving:
            return False
        try:
            self._serving = True
            self._core.dispatch()
            for subscription in [one for one in self._subscriptions if one._is_due]:
                # The one before may have ended it.
                if subscription._is_due:
                    subscription._deliver()
            return self._pump_streams() or self._is_busy()
        finally:
            self._serving = False
            self._turns.pop("who", None)

    def _is_busy(self) -> bool:
        if any(subscription._handle.is_closed for subscription in self._subscriptions):
            self._subscriptions = [subscription for subscription in self._subscriptions if not subscription._handle.is_closed]
        return bool(self._core.events) or any(subscription._is_due for subscription in self._subscriptions)

    def poll(self, timeout: Optional[float] = 0) -> None:
        """Waits up to ``timeout`` seconds (None: without end) for something to do, and does it: callbacks, services."""
        if self._is_busy():
            self._core.poll(0)
        else:
            self._core.poll(SLICE_MS if timeout is None else max(0, min(int(timeout * 1000 + 0.999), 0x7FFFFFFF)))
        self._turn()

    def run(self, timeout: Optional[float] = None) -> None:
        """Serves callbacks and services until ``stop``, for ``timeout`` seconds, or until the connection ends (IpcnetError 303). Ctrl-C raises KeyboardInterrupt, as everywhere."""
        try:
            self._turn()
            self._wait(lambda: self._stopped, timeout)
        finally:
            self._stopped = False

    def stop(self) -> None:
        """Makes ``run`` return, or the next one; from a callback or any thread."""
        self._stopped = True
        with self._core.locked():
            pass

    # --- topics ---

    @property
    def gateway(self) -> Dict[str, str]:
        """robot, version, instance, boot of who answers."""
        return self._core.gateway()

    def topics(self, pattern: Optional[str] = None) -> List[Topic]:
        """Topics under ``pattern`` (``+`` one level, ``#`` the rest) that this program may read or write."""
        return self._core.list_topics(pattern)

    def topic(self, name: str) -> Topic:
        """One topic; IpcnetError 203 if there is none."""
        return self._core.find_topic(name)

    def subscribe(
        self, pattern: str, callback: Optional[Callable[[Message], Any]] = None, *, policy: str = "latest", queue: int = 0, rate_hz_max: float = 0, last_value: bool = False, lanes: bool = True,
    ) -> Subscription:
        """
        Messages of the topics under ``pattern``, also of those that appear later. Policy "latest": the newest of each topic while this program is behind; "queue": the newest ``queue`` (256), losses told
        in ``lost_before``; "lossless": the writer waits, until its deadline. With ``callback``, each message is given to it in ``run``, ``poll`` and iterations; else iterate over what this returns.
        """
        subscription = Subscription(self, SubscriptionHandle(self._core, pattern, policy, queue, rate_hz_max, last_value, lanes), callback)
        if callback is not None:
            self._subscriptions.append(subscription)
        return subscription

    def query(self, topic: str) -> Optional[Message]:
        """The last value of a topic; None while it has none."""
        messages = self._core.query(topic, 1)
        return messages[-1] if messages else None

    def history(self, topic: str, last: int) -> List[Message]:
        """The last messages of a topic, oldest first, as far as they are kept."""
        return self._core.query(topic, last)

    def publish(self, topic: str, value: Any, *, ttl: float = 0, acknowledge: bool = True, id: Optional[str] = None) -> None:
        """
        Publishes through the gateway, which checks everything: the way for commands (``cmd/…``). IpcnetError 202 not permitted, 203 no such topic, 207 not armed, 209 out of range, 211 expired;
        with ``acknowledge=False`` refusals come to ``on_notice`` instead.
        """
        self._core.publish(topic, value, ttl, acknowledge, id)

    def advertise(
        self, topic: str, encoding: Optional[str] = None, *, fields: Optional[Dict[str, Any]] = None, json_schema: Optional[str] = None, constraints: Optional[Dict[str, Any]] = None, schema_hash: int = 0,
        policy: str = "queue", queue: int = 0, payload_bytes_max: int = 0, deadline: float = 0, on_readers: Optional[Callable[[int], Any]] = None, on_lost: Optional[Callable[[IpcnetError], Any]] = None,
    ) -> Writer:
        """
        A topic to write, through a lane of this program's own. ``encoding``: record (with ``fields``: {"angle": "f64"} or {"angle": {"type": "f64", "unit": "rad", "minimum": 0, "maximum": 3}}), cbor, json, bytes, tensor, video, audio,
        points, haptic, file. ``policy``: the most that readers may ask for; ``deadline``: seconds that a lossless reader may keep this program waiting (1). ``queue``: messages that the lane remembers (256).
        ``payload_bytes_max``: the record's size, else 64 KiB unless told; tensors and pictures need more. Without ``encoding`` a topic with ``fields`` is of records, any other of CBOR.
        """
        options = {
            "encoding": encoding, "fields": fields, "json_schema": json_schema, "constraints": constraints, "schema_hash": schema_hash, "policy": policy, "queue": queue, "payload_bytes_max": payload_bytes_max,
            "deadline": deadline, "on_readers": on_readers, "on_lost": on_lost,
        }
        return Writer(self, WriterHandle(self._core, topic, options))

    # --- services ---

    def request(self, service: str, body: Any = None, *, timeout: float = TIMEOUT, fds: Sequence[AnyFd] = (), idempotent: bool = True, group: Optional[str] = None) -> Any:
        """Calls a service and waits for its answer's body. ``group``: of its providers only those of this group. IpcnetError: what it refused with; 203 nobody offers it, 204 no answer in time."""
        reply = self.request_full(service, body, timeout=timeout, fds=fds, idempotent=idempotent, group=group)
        for descriptor in reply.descriptors:
            descriptor.close()
        return reply.body

    def request_full(self, service: str, body: Any = None, *, timeout: float = TIMEOUT, fds: Sequence[AnyFd] = (), idempotent: bool = True, group: Optional[str] = None) -> "FullReply":
        """The same with status, text and descriptors of the answer."""
        pending = Pending(self._core, service, body, timeout, fds, idempotent, 0, group)
        try:
            # The gateway keeps the time; the second beyond is for a gateway that hangs.
            if not self._core.wait(lambda: pending.done, timeout + 1):
                raise IpcnetError(Status.REQUEST_TIMEOUT, f"{service}: no answer within {timeout} s")
        except BaseException:
            pending.cancel()
            raise
        return FullReply(pending.result())

    def stream(
        self, service: str, body: Any = None, *, timeout: float = TIMEOUT, credit: int = CREDIT, fds: Sequence[AnyFd] = (), idempotent: bool = True, group: Optional[str] = None,
    ) -> Generator[Any, None, None]:
        """Calls a service that answers with items: iterate over them. ``credit``: how many may come before they are taken (1 … 4096). Leaving the loop cancels the call."""
        items = self.stream_full(service, body, timeout=timeout, credit=credit, fds=fds, idempotent=idempotent, group=group)
        try:
            for item in items:
                for descriptor in item.descriptors:
                    descriptor.close()
                yield item.body
        finally:
            items.close()

    def stream_full(
        self, service: str, body: Any = None, *, timeout: float = TIMEOUT, credit: int = CREDIT, fds: Sequence[AnyFd] = (), idempotent: bool = True, group: Optional[str] = None,
    ) -> Generator["FullReply", None, None]:
        """The same with the descriptors of each item."""
        pending = Pending(self._core, service, body, timeout, fds, idempotent, max(1, credit), group)
        try:
            while True:
                self._core.wait(lambda: bool(pending.items) or pending.done, None)
                item = pending.next_item()
                if item is None:
                    break
                yield FullReply(item)
            last = FullReply(pending.result())
            # Whoever answers at once, without a stream, gives one item.
            if last.body is not None:
                yield last
        finally:
            pending.cancel()

    def offer(
        self, service: str, handler: Optional[Callable[..., Any]] = None, *, capacity: int = 0, group: Optional[str] = None, description: Optional[str] = None, allow: Sequence[str] = (), deny: Sequence[str] = (),
        rate_hz_max: float = 0, calls_max: int = 0,
    ) -> Any:
        """
        Offers a service; as a decorator without ``handler``. The handler gets the call's body (and the call, if it takes two arguments) in ``run``, ``poll`` and iterations; what it returns is the answer, what it
        yields are items of a stream, an IpcnetError that it raises is the refusal, ``ipcnet.Reply`` carries descriptors; after ``ipcnet.LATER`` it answers by ``call.answer`` when it can. Returns the Offer (as a decorator:
        the handler). ``group``: providers of the same group share the work, and callers may ask for one.
        """
        options = {"capacity": capacity, "group": group, "description": description, "allow": allow, "deny": deny, "rate_hz_max": rate_hz_max, "calls_max": calls_max}
        if handler is None:

            def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
                self._offer(service, function, options)
                return function

            return decorate
        return self._offer(service, handler, options)

    def _offer(self, service: str, handler: Callable[..., Any], options: Dict[str, Any]) -> Offer:
        both = takes_call(handler)

        def came(_: OfferHandle, call: Call) -> None:
            try:
                result = handler(call.body, call) if both else handler(call.body)
            except Exception as error:
                call.answer(as_error(error))
                return
            if inspect.isgenerator(result) and not call.wants_stream:
                result.close()
                call.answer(IpcnetError(Status.BAD_REQUEST, f"{service} answers with a stream: call it by stream()"))
            elif result is LATER:
                return
            elif inspect.isgenerator(result):
                self._streams.append((call, result, []))
            else:
                _answer(call, result)

        return Offer(OfferHandle(self._core, service, came, options))

    def _pump_streams(self) -> bool:
        """One item of each stream that may go on; whether there was any."""
        moved = False
        for _ in range(len(self._streams)):
            call, items, kept = self._streams.popleft()
            if call.cancelled is not None:
                items.close()  # type: ignore[attr-defined]
                call.answer(IpcnetError(Status.REQUEST_TIMEOUT, call.cancelled))
                continue
            if kept and call.credit <= 0:
                self._streams.append((call, items, kept))
                continue
            moved = True
            try:
                # Without credit too: behind the last item that the caller takes may stand the end.
                value = kept.pop() if kept else next(items)
                if call.credit <= 0 or not call.item(value):
                    kept.append(value)
            except StopIteration as end:
                _answer(call, end.value)
                continue
            except Exception as error:
                call.answer(as_error(error))
                continue
            self._streams.append((call, items, kept))
        return moved

    # --- components, resources, end ---

    def announce(self, **component: Any) -> None:
        """Says about this program what it wants to say: version, description, …"""
        self._core.announce(component)

    def find(self, what: str, pattern: Optional[str] = None) -> List[Any]:
        """Lists "components", "topics", "services" or "resources" under ``pattern``."""
        return list(self._core.find(what, pattern) or [])

    def grant(self, resource: str, mode: Optional[str] = None) -> Descriptor:
        """Asks for a resource: a device, a directory, a connected socket. ``mode``: "read", "write", "readWrite"."""
        return Descriptor(self._core.grant(resource, mode))

    def leaving(self, deadline: float, text: str = "") -> None:
        """This program goes in ``deadline`` seconds: no new calls come, running ones may finish."""
        self._core.leaving(deadline, text)

    def ping(self) -> None:
        """The gateway answers."""
        self._core.ping()

    def on_leaving(self, listener: Callable[[LeavingNotice], Any]) -> None:
        """Called when the gateway or the robot goes down; the listener says when this program is ready. A client without one is ready at once."""
        self._core.on_leaving(listener)

    def on_notice(self, listener: Callable[[int, str, int], Any]) -> None:
        """Called with (status, text, count) for what answers no call: refused unacknowledged publishes, losses."""
        self._core.notice_listeners.append(listener)

    def on_end(self, listener: Callable[[str], Any]) -> None:
        """Called with the reason when the connection has ended."""
        self._core.end_listeners.append(listener)

    def on_return(self, listener: Callable[[], Any]) -> None:
        """With ``reconnect``: called when there is a new connection and everything has been renewed."""
        self._core.return_listeners.append(listener)

    def close(self) -> None:
        """Ends the connection and everything made from it; again does nothing."""
        self._core.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class FullReply:
    """An answer: status (1xx, or the application's own), text, body, and descriptors to be closed by whoever gets this."""

    def __init__(self, answer: Answer) -> None:
        self.status, self.text, self.body = answer.status, answer.text, answer.body()
        self.descriptors = [Descriptor(fd) for fd in answer.fds]
        answer.fds = []


def _answer(call: Call, value: Any) -> None:
    try:
        call.answer(value)
    except IpcnetError as error:
        # What was returned has no form in CBOR: the caller is told, and the handler's author sees it.
        if call.is_open:
            call.answer(error)


__all__ = ["connect", "Client", "Subscription", "Lease", "Writer", "Offer", "Descriptor", "FullReply", "Call", "LATER", "Reply", "Loan", "LeavingNotice"]
