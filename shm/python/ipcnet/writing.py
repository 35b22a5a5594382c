"""Writers over C: values straight into lanes, and loans of room in them."""

from __future__ import annotations

import ctypes
import json
from typing import Any, Callable, Dict, Optional, Sequence

from . import library as c_api, media
from .bridge import bytes_of, callback, enlist, fork_count, milliseconds, text_of
from .core import Core
from .library import library
from .message import Lineage, Message, Topic
from .reading import POLICIES
from .status import IpcnetError, Status
from .tensor import Memory

_FIELD_TYPES = {"f64": 1, "f32": 2, "i8": 3, "u8": 4, "i16": 5, "u16": 6, "i32": 7, "u32": 8, "i64": 9, "u64": 10}


@callback(c_api.OnSpace)
def _on_space(target: "WriterHandle", _writer: int) -> None:
    target.core.note(target.has_space)


@callback(c_api.OnReaders)
def _on_readers(target: "WriterHandle", _writer: int, readers: int) -> None:
    if target.on_readers is not None:
        target.core.note(target.on_readers, readers)


@callback(c_api.OnLost)
def _on_lost(target: "WriterHandle", _writer: int, status: int, text: bytes) -> None:
    target.lost = IpcnetError(abs(status), text_of(text))
    if target.on_lost is not None:
        target.core.note(target.on_lost, target.lost)


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
        self._key = enlist(self)
        fields = options.get("fields") or {}
        definitions = (c_api.FieldDefinition * max(1, len(fields)))(*(_field_definition(name, field) for name, field in fields.items()))
        encoding, schema = options.get("encoding"), options.get("json_schema")
        if options.get("constraints"):
            schema = json.dumps(options["constraints"])
        c_options = c_api.AdvertiseOptions(
            bytes_of(encoding), bytes_of(options.get("record_name")), definitions if fields else None, None if schema is None else schema.encode(), options.get("schema_hash") or 0, options.get("payload_bytes_max") or 0, self._key, _on_space, _on_readers,
            _on_lost, len(fields), POLICIES[options.get("policy") or "queue"], options.get("queue") or 0, milliseconds(options.get("deadline") or 0),
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
        if handle is not None and self.core.forks == fork_count() and self.core.pin is not None:
            with self.core.locked():
                library().writer_close(handle)


def _field_definition(name: str, field: Any) -> Any:
    """Of "f64", or of a dict {type, unit, minimum, maximum}."""
    spec: Dict[str, Any] = {"type": field} if isinstance(field, str) else dict(field)
    if spec.get("type") not in _FIELD_TYPES:
        raise IpcnetError(Status.BAD_REQUEST, f"{name}: a field is of type {', '.join(_FIELD_TYPES)}, not {spec.get('type')}")
    nan = float("nan")
    return c_api.FieldDefinition(name.encode(), bytes_of(spec.get("unit")), _limit(spec.get("minimum"), nan), _limit(spec.get("maximum"), nan), _FIELD_TYPES[spec["type"]])


def _limit(value: Optional[float], none: float) -> float:
    return none if value is None else float(value)


def meta_of(lineage: Sequence[Any], ttl: float, quality: str, key_frame: bool, kind: int, more: bool) -> Any:
    """struct ipcnet_meta, or None when there is nothing to say."""
    if not lineage and not ttl and quality == "good" and not key_frame and not kind and not more:
        return None
    entries = [item.as_lineage() if isinstance(item, Message) else Lineage(*item) for item in lineage]
    inputs = (c_api.Lineage * max(1, len(entries)))(*(c_api.Lineage(*entry) for entry in entries))
    meta = c_api.Meta(inputs if entries else None, 0, 0, milliseconds(ttl), ("good", "stale", "bad").index(quality), 4 if key_frame else 0, kind, len(entries), 1 if more else 0)
    return meta
