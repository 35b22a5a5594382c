"""The asyncio client: ``async with ipcnet.aio.connect() as client``. The loop watches one descriptor; nothing here waits in C on the loop's thread.

A client belongs to the loop it was made in. Callbacks and handlers may be functions or coroutine functions.
"""

from __future__ import annotations

import asyncio
import collections
import functools
import inspect
from typing import Any, AsyncGenerator, AsyncIterator, Awaitable, Callable, Deque, Dict, List, Optional, Sequence, Set

from .client import CREDIT, TIMEOUT, FullReply, Lease, Writer as PlainWriter, takes_call
from .core import Core, LeavingNotice
from .descriptor import AnyFd, Descriptor
from .message import Message, Topic
from .reading import SubscriptionHandle
from .services import LATER, Call, OfferHandle, Pending, as_error
from .status import IpcnetError, Status
from .writing import WriterHandle


class connect:
    """``await connect(…)`` or ``async with connect(…) as client``; the same options as ``ipcnet.connect``."""

    def __init__(self, socket_path: Optional[str] = None, *, name: Optional[str] = None, timeout: float = 2.0, reconnect: bool = False, undumpable: bool = False) -> None:
        self._make = functools.partial(Core, socket_path, name, timeout, reconnect, undumpable)
        self._client: Optional[Client] = None

    async def _connect(self) -> "Client":
        core = await asyncio.get_running_loop().run_in_executor(None, self._make)
        self._client = Client(core)
        return self._client

    def __await__(self) -> Any:
        return self._connect().__await__()

    async def __aenter__(self) -> "Client":
        return await self._connect()

    async def __aexit__(self, *_: Any) -> None:
        if self._client is not None:
            await self._client.close()


class Subscription:
    """Messages, by ``async for`` or ``next``."""

    def __init__(self, client: "Client", handle: SubscriptionHandle) -> None:
        self._client, self._handle = client, handle
        self._batch: Deque[Message] = collections.deque()
        self._event = asyncio.Event()
        handle.ready_listener = self._event.set
        client._waiters.add(self._event)

    @property
    def matches(self) -> bool:
        """Whether a topic matched when the subscription began."""
        return bool(self._handle.matches)

    def drain(self, limit: int = 256) -> List[Message]:
        """What has come so far, at most ``limit`` messages (and at most 256 at once)."""
        if self._batch:
            return [self._batch.popleft() for _ in range(min(limit, len(self._batch)))]
        return self._handle.drain(limit)

    async def next(self) -> Message:
        """The next message. Use ``asyncio.wait_for`` for a deadline: nothing is lost by it."""
        while not self._batch:
            self._batch.extend(self._handle.drain())
            if self._batch:
                break
            self._client._check()
            self._event.clear()
            await self._event.wait()
        return self._batch.popleft()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.next()
        except IpcnetError:
            if self._handle.is_closed:
                raise StopAsyncIteration from None
            raise

    def lease(self) -> Lease:
        """Zero-copy: ``with subscription.lease() as message``; see ``ipcnet.Lease``."""
        return Lease(self._handle)

    def stats(self) -> Dict[str, int]:
        return self._handle.stats()

    def close(self) -> None:
        self._handle.close()
        self._client._waiters.discard(self._event)
        self._event.set()

    def __enter__(self) -> "Subscription":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class Writer(PlainWriter):
    """As ``ipcnet.Writer``; ``publish`` never waits, ``space`` is awaited."""

    def __init__(self, client: "Client", handle: WriterHandle) -> None:
        self._client, self._handle = client, handle  # type: ignore[assignment]
        self._event = asyncio.Event()
        handle.space_listener = self._event.set

    async def space(self, timeout: Optional[float] = None) -> bool:  # type: ignore[override]
        """Until a lossless reader has read on; False after ``timeout`` seconds."""
        self._event.clear()
        if self._handle.space(0):
            return True
        try:
            await asyncio.wait_for(self._event.wait(), timeout)
        except asyncio.TimeoutError:
            return False
        return True


class Offer:
    """A service that this program offers, until ``close``."""

    def __init__(self, handle: OfferHandle) -> None:
        self._handle = handle

    @property
    def service(self) -> str:
        return self._handle.service

    def close(self) -> None:
        self._handle.close()


class Client:
    """A connection to the gateway."""

    def __init__(self, core: Core) -> None:
        self._core = core
        core.keeps_house = False
        self._loop = asyncio.get_running_loop()
        self._gate = asyncio.Lock()
        self._tasks: Set["asyncio.Task[Any]"] = set()
        self._waiters: Set[asyncio.Event] = set()
        self._pending: Set[asyncio.Event] = set()
        self._closed = False
        self._loop.add_reader(core.fd, self._readable)

    # --- the loop ---

    def _readable(self) -> None:
        if self._closed:
            return
        self._core.poll(0)
        self._dispatch()
        if self._core.is_over:
            self._loop.remove_reader(self._core.fd)
            for event in (*self._waiters, *self._pending):
                event.set()

    def _dispatch(self) -> None:
        while self._core.events:
            function, arguments = self._core.events.popleft()
            try:
                result = function(*arguments)
                if inspect.isawaitable(result):
                    self._spawn(result)
            except Exception as error:
                self._loop.call_exception_handler({"message": f"in a callback of ipcnet: {function!r}", "exception": error})

    def _spawn(self, work: Awaitable[Any]) -> "asyncio.Task[Any]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None and not self._closed:
            self._loop.call_exception_handler({"message": "in a coroutine of ipcnet", "exception": task.exception(), "task": task})

    def _check(self) -> None:
        if self._closed or self._core.is_over:
            raise IpcnetError(Status.SERVICE_UNAVAILABLE, "the client is closed" if self._closed else self._core.why_ended or "the connection has ended")

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """A C call that waits for an answer, in another thread: one at a time, and the loop does not poll meanwhile."""

        async def whole() -> Any:
            async with self._gate:
                self._check()
                self._loop.remove_reader(self._core.fd)
                try:
                    return await self._loop.run_in_executor(None, functools.partial(function, *arguments))
                finally:
                    if not self._closed:
                        self._loop.add_reader(self._core.fd, self._readable)
                        self._readable()

        # Whoever waits may be cancelled; the call in C runs to its end.
        return await asyncio.shield(asyncio.ensure_future(whole()))

    # --- topics ---

    @property
    def gateway(self) -> Dict[str, str]:
        """robot, version, instance, boot of who answers."""
        return self._core.gateway()

    async def topics(self, pattern: Optional[str] = None) -> List[Topic]:
        """Topics under ``pattern`` (``+`` one level, ``#`` the rest) that this program may read or write."""
        result: List[Topic] = await self._in_thread(self._core.list_topics, pattern)
        return result

    async def topic(self, name: str) -> Topic:
        """One topic; IpcnetError 203 if there is none."""
        found: Topic = await self._in_thread(self._core.find_topic, name)
        return found

    async def subscribe(
        self, pattern: str, callback: Optional[Callable[[Message], Any]] = None, *, policy: str = "latest", queue: int = 0, rate_hz_max: float = 0, last_value: bool = False, lanes: bool = True,
    ) -> Subscription:
        """As ``ipcnet.Client.subscribe``. A callback that is a coroutine function is awaited before it gets the next message."""
        handle = await self._in_thread(SubscriptionHandle, self._core, pattern, policy, queue, rate_hz_max, last_value, lanes)
        subscription = Subscription(self, handle)
        if callback is not None:
            self._spawn(_deliver(subscription, callback))
        return subscription

    async def query(self, topic: str) -> Optional[Message]:
        """The last value of a topic; None while it has none."""
        messages: List[Message] = await self._in_thread(self._core.query, topic, 1)
        return messages[-1] if messages else None

    async def history(self, topic: str, last: int) -> List[Message]:
        """The last messages of a topic, oldest first, as far as they are kept."""
        messages: List[Message] = await self._in_thread(self._core.query, topic, last)
        return messages

    async def publish(self, topic: str, value: Any, *, ttl: float = 0, acknowledge: bool = True, id: Optional[str] = None) -> None:
        """Publishes through the gateway: see ``ipcnet.Client.publish``."""
        if acknowledge:
            await self._in_thread(self._core.publish, topic, value, ttl, True, id)
        else:
            self._core.publish(topic, value, ttl, False, id)

    async def advertise(self, topic: str, encoding: Optional[str] = None, **options: Any) -> Writer:
        """A topic to write, with the options of ``ipcnet.Client.advertise``."""
        handle = await self._in_thread(WriterHandle, self._core, topic, {"encoding": encoding, **options})
        return Writer(self, handle)

    # --- services ---

    async def request(self, service: str, body: Any = None, *, timeout: float = TIMEOUT, fds: Sequence[AnyFd] = (), idempotent: bool = True, group: Optional[str] = None) -> Any:
        """Calls a service: its answer's body, or its refusal as IpcnetError. ``group``: of its providers only those of this group."""
        reply = await self.request_full(service, body, timeout=timeout, fds=fds, idempotent=idempotent, group=group)
        for descriptor in reply.descriptors:
            descriptor.close()
        return reply.body

    async def request_full(self, service: str, body: Any = None, *, timeout: float = TIMEOUT, fds: Sequence[AnyFd] = (), idempotent: bool = True, group: Optional[str] = None) -> FullReply:
        """The same with status, text and descriptors of the answer."""
        self._check()
        pending = Pending(self._core, service, body, timeout, fds, idempotent, 0, group)
        with _Changes(self, pending) as changed:
            try:
                while not pending.done:
                    await asyncio.wait_for(changed(), timeout + 1)
            except asyncio.TimeoutError:
                raise IpcnetError(Status.REQUEST_TIMEOUT, f"{service}: no answer within {timeout} s") from None
        return FullReply(pending.result())

    async def stream(
        self, service: str, body: Any = None, *, timeout: float = TIMEOUT, credit: int = CREDIT, fds: Sequence[AnyFd] = (), idempotent: bool = True, group: Optional[str] = None,
    ) -> AsyncGenerator[Any, None]:
        """Calls a service that answers with items: ``async for item in client.stream(…)``. Leaving the loop cancels the call (``aclose`` at once, else the collector)."""
        items = self.stream_full(service, body, timeout=timeout, credit=credit, fds=fds, idempotent=idempotent, group=group)
        try:
            async for item in items:
                for descriptor in item.descriptors:
                    descriptor.close()
                yield item.body
        finally:
            await items.aclose()

    async def stream_full(
        self, service: str, body: Any = None, *, timeout: float = TIMEOUT, credit: int = CREDIT, fds: Sequence[AnyFd] = (), idempotent: bool = True, group: Optional[str] = None,
    ) -> AsyncGenerator[FullReply, None]:
        """The same with the descriptors of each item."""
        self._check()
        pending = Pending(self._core, service, body, timeout, fds, idempotent, max(1, credit), group)
        with _Changes(self, pending) as changed:
            while True:
                item = pending.next_item()
                if item is not None:
                    yield FullReply(item)
                elif pending.done:
                    break
                else:
                    await changed()
        last = FullReply(pending.result())
        # Whoever answers at once, without a stream, gives one item.
        if last.body is not None:
            yield last

    async def offer(self, service: str, handler: Callable[..., Any], *, capacity: int = 0, **options: Any) -> Offer:
        """
        Offers a service, with the options of ``ipcnet.Client.offer``. The handler may be a function, a coroutine function, or an (async) generator function, whose items are a stream; a coroutine is cancelled when
        its caller has gone.
        """
        both = takes_call(handler)

        def came(_: OfferHandle, call: Call) -> Any:
            task = self._spawn(self._serve(handler, both, call))

            def changed() -> None:
                if call.cancelled is not None:
                    task.cancel()

            call.listener = changed

        return Offer(await self._in_thread(OfferHandle, self._core, service, came, {"capacity": capacity, **options}))

    async def _serve(self, handler: Callable[..., Any], both: bool, call: Call) -> None:
        try:
            result = handler(call.body, call) if both else handler(call.body)
            if inspect.isawaitable(result):
                result = await result
            if inspect.isasyncgen(result) or inspect.isgenerator(result):
                if not call.wants_stream:
                    raise IpcnetError(Status.BAD_REQUEST, f"{call.service} answers with a stream: call it by stream()")
                await self._send_items(result, call)
                result = None
            if result is not LATER:
                call.answer(result)
        except asyncio.CancelledError:
            if call.is_open and not self._closed:
                call.answer(IpcnetError(Status.REQUEST_TIMEOUT, call.cancelled or "cancelled"))
            raise
        except Exception as error:
            if call.is_open:
                call.answer(as_error(error))

    async def _send_items(self, items: Any, call: Call) -> None:
        credit = asyncio.Event()
        cancel = call.listener

        def changed() -> None:
            credit.set()
            if cancel is not None:
                cancel()

        call.listener = changed
        try:
            async for value in items if inspect.isasyncgen(items) else _as_async(items):
                while not (call.credit > 0 and call.item(value)):
                    credit.clear()
                    await credit.wait()
        finally:
            if inspect.isasyncgen(items):
                await items.aclose()

    # --- components, resources, end ---

    async def announce(self, **component: Any) -> None:
        """Says about this program what it wants to say: version, description, …"""
        await self._in_thread(self._core.announce, component)

    async def find(self, what: str, pattern: Optional[str] = None) -> List[Any]:
        """Lists "components", "topics", "services" or "resources" under ``pattern``."""
        return list(await self._in_thread(self._core.find, what, pattern) or [])

    async def grant(self, resource: str, mode: Optional[str] = None) -> Descriptor:
        """Asks for a resource: a device, a directory, a connected socket."""
        return Descriptor(await self._in_thread(self._core.grant, resource, mode))

    async def leaving(self, deadline: float, text: str = "") -> None:
        """This program goes in ``deadline`` seconds: no new calls come, running ones may finish."""
        await self._in_thread(self._core.leaving, deadline, text)

    async def ping(self) -> None:
        """The gateway answers."""
        await self._in_thread(self._core.ping)

    def on_leaving(self, listener: Callable[[LeavingNotice], Any]) -> None:
        """Called when the gateway or the robot goes down; the listener says when this program is ready. A client without one is ready at once."""
        self._core.on_leaving(listener)

    def on_notice(self, listener: Callable[[int, str, int], Any]) -> None:
        """Called with (status, text, count) for what answers no call."""
        self._core.notice_listeners.append(listener)

    def on_end(self, listener: Callable[[str], Any]) -> None:
        """Called with the reason when the connection has ended."""
        self._core.end_listeners.append(listener)

    def on_return(self, listener: Callable[[], Any]) -> None:
        """With ``reconnect``: called when there is a new connection and everything has been renewed."""
        self._core.return_listeners.append(listener)

    async def close(self) -> None:
        """Ends the connection and everything made from it, and cancels its coroutines; again does nothing."""
        if self._closed:
            return
        async with self._gate:
            self._closed = True
            self._loop.remove_reader(self._core.fd)
            for event in (*self._waiters, *self._pending):
                event.set()
            # A handler may close its own client: it is not to wait for itself.
            tasks = [task for task in self._tasks if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._core.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self.close()


class _Changes:
    """Waits for a request's next item or end; cancels what has not ended when the block is left."""

    def __init__(self, client: Client, pending: Pending) -> None:
        self._client, self._pending, self._event = client, pending, asyncio.Event()

    def __enter__(self) -> Callable[[], Awaitable[None]]:
        self._pending.listener = self._event.set
        self._client._pending.add(self._event)
        return self._changed

    async def _changed(self) -> None:
        self._client._check()
        self._event.clear()
        if not self._pending.done and not self._pending.items:
            await self._event.wait()
            if not self._pending.done and not self._pending.items:
                self._client._check()

    def __exit__(self, *_: Any) -> None:
        self._client._pending.discard(self._event)
        self._pending.cancel()


async def _deliver(subscription: Subscription, callback: Callable[[Message], Any]) -> None:
    async for message in subscription:
        result = callback(message)
        if inspect.isawaitable(result):
            await result


async def _as_async(items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


__all__ = ["connect", "Client", "Subscription", "Writer", "Offer"]
