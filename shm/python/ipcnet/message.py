"""Topics and messages as a client sees them. Nothing is decoded before it is looked at."""

from __future__ import annotations

import ctypes
import json
import struct
from typing import Any, Dict, List, NamedTuple, Optional

from . import cbor, media
from .library import LINEAGE, library
from .records import Layout
from .status import IpcnetError, Status

QUALITIES = ("good", "stale", "bad")


class Lineage(NamedTuple):
    """An input that a message was made from. Ids are hashes: ``ipcnet.text_id(name)``."""

    origin: int
    topic: int
    sequence: int


class Topic:
    """A topic as the gateway described it."""

    def __init__(self, pointer: int) -> None:
        c = library()
        length = ctypes.c_size_t()
        start = c.topic_description(pointer, ctypes.byref(length))
        self.name: str = c.topic_name(pointer).decode()
        self.encoding: str = c.topic_encoding_name(pointer).decode()
        self.schema_hash: int = c.topic_schema_hash(pointer)
        self.writable: bool = bool(c.topic_writable(pointer))
        self.rate_hz: float = c.topic_rate_hz(pointer)
        self.quality: str = QUALITIES[min(2, max(0, c.topic_quality(pointer)))]
        #: The whole description: layout, jsonSchema, …
        self.description: Dict[str, Any] = cbor.loads(ctypes.string_at(start, length.value)) if start else {}
        self.layout: Optional[Layout] = Layout.from_description(self.description["layout"]) if self.description.get("layout") is not None else None

    def __repr__(self) -> str:
        return f"Topic({self.name}, {self.encoding})"

    def decode(self, payload: Any) -> Any:
        """A payload's value: record and cbor and json a Python value, bytes the payload itself, canframe a CanFrame, tensor … file a value of ``ipcnet.media``. IpcnetError 209 for a payload that does not fit."""
        if self.encoding == "record":
            if self.layout is None:
                raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"{self.name}: its layout was not announced")
            return self.layout.decode(payload)
        if self.encoding == "canframe":
            if len(payload) != _CAN_FRAME.size:
                raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"{self.name}: {len(payload)} bytes instead of {_CAN_FRAME.size}")
            return _can_frame(payload)
        if self.encoding in media.ENCODINGS:
            return media.decode(self.encoding, payload)
        try:
            if self.encoding == "cbor":
                return cbor.loads(payload)
            if self.encoding == "json":
                return json.loads(bytes(payload))
        except (IpcnetError, ValueError) as error:
            raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"{self.name}: {error}") from None
        return payload

    def encode(self, value: Any) -> Any:
        """The payload of a value (bytes-like: as it is). IpcnetError 209 for what does not fit."""
        if self.encoding == "record" and isinstance(value, dict):
            if self.layout is None:
                raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"{self.name}: its layout was not announced")
            return self.layout.encode(value)
        if self.encoding == "cbor" and not isinstance(value, (bytearray, memoryview)):
            return value if isinstance(value, bytes) else cbor.dumps(value)
        if self.encoding == "json" and not isinstance(value, (bytes, bytearray, memoryview)):
            try:
                return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
            except (TypeError, ValueError) as error:
                raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"{self.name}: {error}") from None
        return value


class CanFrame(NamedTuple):
    """A frame of a CAN bus, as topics of encoding ``canframe`` have it (docs/specs/client-socket.md)."""

    can_id: int
    data: bytes
    extended: bool
    fd: bool
    bit_rate_switch: bool
    error_state_indicator: bool
    remote: bool
    #: An error report: ``can_id`` holds Linux's CAN_ERR_* classes.
    error: bool
    #: The gateway's own frame, transmitted.
    echo: bool
    #: For a remote request the length asked for.
    length_bytes: int
    time_us: float


_CAN_FRAME = struct.Struct("<dIBB10x64s")


def _can_frame(payload: Any) -> CanFrame:
    time_us, can_id, flags, length, data = _CAN_FRAME.unpack(payload)
    length = min(length, 64)
    extended, fd, bit_rate_switch, error_state, remote, error, echo = (bool(flags & 1 << i) for i in range(7))
    return CanFrame(can_id, b"" if remote else data[:length], extended, fd, bit_rate_switch, error_state, remote, error, echo, length, time_us)


class Message:
    """A message. Its payload is a private copy: whatever is made from it (memoryviews, arrays, tensors) keeps it alive and may write to it."""

    __slots__ = ("topic_info", "_raw", "_view", "_base", "_origin", "_value", "_decoded", "__weakref__")

    def __init__(self, topic: Topic, raw: Any, view: memoryview, base: int, origin: str) -> None:
        self.topic_info = topic
        self._raw = raw
        self._view = view
        self._base = base
        self._origin = origin
        self._decoded = False

    def __repr__(self) -> str:
        return f"Message({self.topic}, sequence {self.sequence}, {self.payload_bytes} bytes)"

    @property
    def topic(self) -> str:
        return self.topic_info.name

    @property
    def payload_bytes(self) -> int:
        return int(self._raw[2])

    @property
    def bytes(self) -> memoryview:
        """The payload in the topic's own encoding."""
        at = self._raw[1] - self._base
        return self._view[at : at + self._raw[2]]

    @property
    def value(self) -> Any:
        """The payload decoded, at the first access: see ``Topic.decode``."""
        if not self._decoded:
            self._value = self.topic_info.decode(self.bytes)
            self._decoded = True
        return self._value

    def numpy(self) -> Any:
        """The payload as a NumPy array without a copy: a record as a structured scalar, tensors and raw video and points and audio as arrays, anything else as uint8."""
        import numpy

        if self.topic_info.encoding == "record" and self.topic_info.layout is not None:
            layout = self.topic_info.layout
            if self.payload_bytes != layout.size_bytes:
                raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"{self.topic}: {self.payload_bytes} bytes instead of {layout.size_bytes}")
            return numpy.frombuffer(self.bytes, layout.numpy_dtype())[0]
        if self.topic_info.encoding in ("tensor", "video", "audio", "points", "haptic"):
            return self.value.to_numpy()
        return numpy.frombuffer(self.bytes, "u1")

    @property
    def sequence(self) -> int:
        """Counts the messages of this writer (lanes) or topic (gateway), from 1."""
        return int(self._raw[5])

    @property
    def lost_before(self) -> int:
        """Messages that this subscription lost between the one before and this one."""
        return int(self._raw[6])

    @property
    def time_ns(self) -> int:
        """CLOCK_MONOTONIC of this machine: ``time.monotonic_ns()``."""
        return int(self._raw[7])

    @property
    def wall_time_ns(self) -> int:
        return int(self._raw[8])

    @property
    def schema_hash(self) -> int:
        return int(self._raw[9])

    @property
    def ttl_ms(self) -> int:
        """Worthless after so long; 0: never."""
        return int(self._raw[10])

    @property
    def origin(self) -> str:
        """Who made it, such as "can/arm" or "uid 1000, joystick"."""
        return self._origin

    @property
    def quality(self) -> str:
        """"good", "stale" or "bad"."""
        return QUALITIES[min(2, self._raw[12])]

    @property
    def is_last_value(self) -> bool:
        """Whether it is the value that the topic already had when the subscription began."""
        return bool(self._raw[13] & 1)

    @property
    def key_frame(self) -> bool:
        return bool(self._raw[13] & 4)

    @property
    def kind(self) -> int:
        """The application's; 0 by default."""
        return int(self._raw[14])

    @property
    def lineage(self) -> List[Lineage]:
        """The messages that this one was made from."""
        at = self._raw[3] - self._base
        return [Lineage(*LINEAGE.unpack_from(self._view, at + i * LINEAGE.size)) for i in range(self._raw[15])]

    def as_lineage(self) -> Lineage:
        """What a message that is made from this one says about it: ``writer.publish(value, lineage=[message])``."""
        c = library()
        return Lineage(c.text_id(self._origin.encode()), c.text_id(self.topic.encode()), self.sequence)
