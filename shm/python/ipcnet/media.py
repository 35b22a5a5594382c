"""Payloads of tensors, video, audio, points, haptics and files (docs/specs/media.md): bytes in, values out, nothing copied.

``decode(encoding, payload)`` gives a value whose data is a memoryview of the payload, or raises ``MediaFault``; ``encode(value)`` gives header and data.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .status import IpcnetError, Status
from .tensor import DTYPES, Tensor, dtype_name, parse_dtype

ENCODINGS = ("tensor", "video", "audio", "points", "haptic", "file")


class MediaFault(IpcnetError):
    """Bytes or values that are refused. ``code`` is stable: tooShort, badMagic, badVersion, badLength, notZero, badType, badShape, outOfBounds, badName."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(Status.UNPROCESSABLE_CONTENT, f"{code}: {text}")
        self.code = code


class Plane(NamedTuple):
    """Where a plane's rows stand in the data."""

    offset_bytes: int
    stride_bytes: int
    row_bytes: int
    rows: int


@dataclass
class Video:
    """A video frame: raw pixels (``planes``) or one coded picture (``encoded``)."""

    fourcc: str
    width: int
    height: int
    data: Any
    encoded: bool = False
    #: None: true for raw frames, false for coded ones.
    key_frame: Optional[bool] = None
    pts_ns: int = 0
    #: Empty: those of a known raw format without gaps.
    planes: Sequence[Plane] = ()

    def to_numpy(self, plane: int = 0) -> Any:
        """Rows of a plane as an array without a copy: height × width × channels for packed formats (grey: height × width), uint16 for formats of 16 bits. Coded frames have none."""
        import numpy

        if self.encoded:
            raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"a coded frame ({self.fourcc}) has no pixels yet")
        rule = (_RAW_FORMATS.get(self.fourcc) or [])[plane : plane + 1]
        offset, stride, row_bytes, rows = self.planes[plane]
        if self.fourcc in _WIDE:
            return numpy.ndarray((rows, row_bytes // 2), "<u2", self.data, offset, (stride, 2))
        channels = 2 if self.fourcc in ("YUYV", "UYVY") else rule[0][0] if rule else 1
        if channels == 1:
            return numpy.ndarray((rows, row_bytes), "u1", self.data, offset, (stride, 1))
        return numpy.ndarray((rows, row_bytes // channels, channels), "u1", self.data, offset, (stride, channels, 1))

    @classmethod
    def from_numpy(cls, array: Any, fourcc: Optional[str] = None, pts_ns: int = 0) -> "Video":
        """A packed raw frame of a uint8 array height × width × 3 ("RGB3" unless told) or × 4 ("AB24"), height × width ("GREY"), or of uint16 ("Y16 ")."""
        import numpy

        array = numpy.ascontiguousarray(array)
        if array.ndim not in (2, 3) or array.dtype not in (numpy.dtype("u1"), numpy.dtype("<u2")):
            raise MediaFault("badType", f"no pixel format for {array.dtype} of shape {array.shape}")
        default = "Y16 " if array.dtype.itemsize == 2 else {1: "GREY", 3: "RGB3", 4: "AB24"}.get(array.shape[2] if array.ndim == 3 else 1, "")
        return cls(fourcc or default, array.shape[1], array.shape[0], memoryview(array).cast("B"), pts_ns=pts_ns)


@dataclass
class Audio:
    """PCM samples: frames × channels numbers, frame by frame or (``planar``) channel by channel."""

    format: str
    channels: int
    rate_hz: int
    data: Any
    planar: bool = False
    pts_ns: int = 0

    @property
    def frames(self) -> int:
        return memoryview(self.data).nbytes // (self.channels * _AUDIO_BYTES[self.format])

    def to_numpy(self) -> Any:
        """frames × channels (planar: channels × frames), without a copy."""
        import numpy

        shape = (self.channels, self.frames) if self.planar else (self.frames, self.channels)
        return numpy.frombuffer(self.data, _AUDIO_NUMPY[self.format]).reshape(shape)


@dataclass(frozen=True)
class PointField:
    """A field of a point: ``count`` numbers of ``type`` (i8 … u64, f32, f64)."""

    name: str
    type: str
    offset_bytes: int
    count: int = 1


@dataclass
class Points:
    """A point cloud: records of named fields."""

    fields: Sequence[PointField]
    stride_bytes: int
    data: Any
    #: Points per row of an organised cloud; 0: in no order.
    columns: int = 0
    #: No point has a NaN.
    dense: bool = False
    time_ns: int = 0

    @property
    def count(self) -> int:
        return memoryview(self.data).nbytes // self.stride_bytes

    def numpy_dtype(self) -> Any:
        import numpy

        formats = [_POINT_NUMPY[f.type] if f.count == 1 else (_POINT_NUMPY[f.type], (f.count,)) for f in self.fields]
        return numpy.dtype({"names": [f.name for f in self.fields], "formats": formats, "offsets": [f.offset_bytes for f in self.fields], "itemsize": self.stride_bytes})

    def to_numpy(self) -> Any:
        """A structured array of the points, without a copy: ``cloud.to_numpy()["x"]``; rows × columns if the cloud is organised."""
        import numpy

        points = numpy.frombuffer(self.data, self.numpy_dtype())
        return points.reshape(-1, self.columns) if self.columns else points

    @classmethod
    def from_numpy(cls, array: Any, dense: bool = False, time_ns: int = 0) -> "Points":
        """Of a structured array of numbers."""
        import numpy

        array = numpy.ascontiguousarray(array)
        if array.dtype.names is None:
            raise MediaFault("badType", "a structured array is needed: its fields are the points'")
        fields = []
        for name in array.dtype.names:
            kind, offset = array.dtype.fields[name][:2]
            base = kind.base
            fields.append(PointField(name, f"{base.kind}{base.itemsize * 8}", offset, kind.itemsize // base.itemsize))
        columns = array.shape[1] if array.ndim == 2 else 0
        return cls(fields, array.dtype.itemsize, memoryview(array.reshape(-1).view("u1")).cast("B"), columns, dense, time_ns)


@dataclass
class Haptic:
    """What a glove, a handle or a skin feels or should make felt: float32 per channel and frame."""

    quantity: str
    channels: int
    data: Any
    #: 0: a state, not a signal.
    rate_hz: int = 0
    pts_ns: int = 0

    @property
    def frames(self) -> int:
        return memoryview(self.data).nbytes // (4 * self.channels)

    def to_numpy(self) -> Any:
        """frames × channels, without a copy."""
        import numpy

        return numpy.frombuffer(self.data, "<f4").reshape(self.frames, self.channels)


@dataclass
class File:
    """A file: name, MIME type, size and SHA-256, with its content inline or (``content`` None) in the sealed descriptor that travels with the message."""

    name: str
    content: Any = None
    type: str = ""
    size_bytes: int = -1
    sha256: bytes = field(default=b"")

    def __post_init__(self) -> None:
        if self.content is not None and self.size_bytes < 0:
            self.size_bytes = memoryview(self.content).nbytes
        if self.content is not None and not self.sha256:
            self.sha256 = hashlib.sha256(self.content).digest()

    def is_content(self, content: Any) -> bool:
        """Whether ``content`` has this size and SHA-256."""
        return memoryview(content).nbytes == self.size_bytes and hashlib.sha256(content).digest() == self.sha256


# --- the common header ----------------------------------------------------------------------------------------------------------------

_HEADERS = {"tensor": (b"IPTE", 192), "video": (b"IPVI", 128), "audio": (b"IPAU", 64), "points": (b"IPPT", 576), "haptic": (b"IPHA", 64), "file": (b"IPFI", 448)}
_COMMON = struct.Struct("<4sHHQ")
_EXTENT_MAX = 1 << 40


def _open(encoding: str, payload: Any) -> Tuple[memoryview, memoryview]:
    magic, header_bytes = _HEADERS[encoding]
    view = memoryview(payload).cast("B")
    if len(view) < header_bytes:
        raise MediaFault("tooShort", f"{len(view)} bytes, the header alone has {header_bytes}")
    found, version, claimed, data_bytes = _COMMON.unpack_from(view)
    if found != magic:
        raise MediaFault("badMagic", f"does not begin with {magic.decode()}")
    if version != 1:
        raise MediaFault("badVersion", f"version {version}, this reads 1")
    if claimed != header_bytes or data_bytes != len(view) - header_bytes:
        raise MediaFault("badLength", f"says {claimed} + {data_bytes} bytes, has {header_bytes} + {len(view) - header_bytes}")
    return view[:header_bytes], view[header_bytes:]


def _begin(encoding: str, data_bytes: int) -> bytearray:
    magic, header_bytes = _HEADERS[encoding]
    header = bytearray(header_bytes)
    _COMMON.pack_into(header, 0, magic, 1, header_bytes, data_bytes)
    return header


def _must_be_zero(header: Any, *ranges: Tuple[int, int]) -> None:
    for start, end in ranges:
        if any(header[start:end]):
            raise MediaFault("notZero", "bytes without meaning are not zero")


def _pick(names: Sequence[str], code: int, what: str) -> str:
    if not 1 <= code <= len(names):
        raise MediaFault("badType", f"{what} {code}")
    return names[code - 1]


def _code(names: Sequence[str], name: str, what: str) -> int:
    if name not in names:
        raise MediaFault("badType", f"there is no {what} {name}")
    return list(names).index(name) + 1


def _between(value: Any, low: int, high: int, what: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise MediaFault("badShape", f"{what} {value}: not from {low} to {high}")


def _time(value: int) -> None:
    _between(value, -(1 << 63), (1 << 63) - 1, "time")


# --- tensor ---------------------------------------------------------------------------------------------------------------------------


def _check_tensor(item: int, shape: Sequence[int], strides: Sequence[int], data_bytes: int) -> None:
    product, empty = 1, False
    for side, stride in zip(shape, strides):
        _between(side, 0, _EXTENT_MAX, "side")
        _between(stride, 0, _EXTENT_MAX, "stride")
        empty = empty or side == 0
        product *= side or 1
        if product > _EXTENT_MAX:
            raise MediaFault("badShape", "more than 2^40 elements")
    if empty:
        return
    room = data_bytes // item
    last = sum((side - 1) * stride for side, stride in zip(shape, strides))
    if product > room or last >= room:
        raise MediaFault("outOfBounds", f"{product} elements up to number {last}, the data has room for {room}")


def _decode_tensor(payload: Any) -> Tensor:
    header, data = _open("tensor", payload)
    code, bits, lanes, count = struct.unpack_from("<BBHB", header, 16)
    used = 8 * min(count, 8)
    _must_be_zero(header, (21, 32), (32 + used, 96), (96 + used, 160), (160, 192))
    name = dtype_name(code, bits, lanes) if 1 <= lanes <= 256 else None
    if name is None:
        raise MediaFault("badType", f"no element type has code {code}, {bits} bits, {lanes} lanes")
    if count > 8:
        raise MediaFault("badShape", f"{count} dimensions, at most 8")
    shape = struct.unpack_from(f"<{count}Q", header, 32)
    strides = struct.unpack_from(f"<{count}Q", header, 96)
    _check_tensor(bits // 8 * lanes, shape, strides, len(data))
    return Tensor(name, shape, data, strides)


def _tensor_header(tensor: Tensor, data_bytes: int) -> bytearray:
    if tensor.ndim > 8:
        raise MediaFault("badShape", f"{tensor.ndim} dimensions, at most 8")
    code, bits, lanes = parse_dtype(tensor.dtype)
    _check_tensor(bits // 8 * lanes, tensor.shape, tensor.strides, data_bytes)
    header = _begin("tensor", data_bytes)
    struct.pack_into("<BBHB", header, 16, code, bits, lanes, tensor.ndim)
    struct.pack_into(f"<{tensor.ndim}Q", header, 32, *tensor.shape)
    struct.pack_into(f"<{tensor.ndim}Q", header, 96, *tensor.strides)
    return header


# --- video ----------------------------------------------------------------------------------------------------------------------------

_LUMA = (1, 1, 1)
#: Planes of the raw formats that are known: bytes, across, down.
_RAW_FORMATS: Dict[str, List[Tuple[int, int, int]]] = {
    **{name: [(1, 1, 1)] for name in ("GREY", "BA81", "GBRG", "GRBG", "RGGB")}, **{name: [(2, 1, 1)] for name in ("Y10 ", "Y12 ", "Y16 ", "Z16 ")},
    "RGB3": [(3, 1, 1)], "BGR3": [(3, 1, 1)], "AB24": [(4, 1, 1)], "AR24": [(4, 1, 1)], "YUYV": [(4, 2, 1)], "UYVY": [(4, 2, 1)],
    "NV12": [_LUMA, (2, 2, 2)], "NV21": [_LUMA, (2, 2, 2)], "NV16": [_LUMA, (2, 2, 1)], "YU12": [_LUMA, (1, 2, 2), (1, 2, 2)],
}
_WIDE = ("Y10 ", "Y12 ", "Y16 ", "Z16 ")


def dense_planes(fourcc: str, width: int, height: int) -> Optional[List[Plane]]:
    """Planes of a known raw format without gaps, one behind the other; None for other formats."""
    rules = _RAW_FORMATS.get(fourcc)
    if rules is None:
        return None
    planes, offset = [], 0
    for size, across, down in rules:
        row, rows = -(-width // across) * size, -(-height // down)
        planes.append(Plane(offset, row, row, rows))
        offset += row * rows
    return planes


def _check_video(video: Video, planes: Sequence[Plane], data_bytes: int) -> None:
    if not video.encoded and not video.key_frame:
        raise MediaFault("badType", "a raw frame is a key frame")
    least = 0 if video.encoded else 1
    _between(video.width, least, 65535, "width")
    _between(video.height, least, 65535, "height")
    if len(planes) > 4 or video.encoded != (not planes):
        raise MediaFault("badShape", f"{len(planes)} planes")
    rules = None if video.encoded else _RAW_FORMATS.get(video.fourcc)
    if rules is not None and len(rules) != len(planes):
        raise MediaFault("badShape", f"{video.fourcc} has {len(rules)} planes, not {len(planes)}")
    for i, (offset, stride, row, rows) in enumerate(planes):
        for value, low in ((offset, 0), (row, 1), (rows, 1), (stride, row)):
            _between(value, low, 0xFFFFFFFF, f"plane {i}")
        if rules is not None:
            size, across, down = rules[i]
            if row != -(-video.width // across) * size or rows != -(-video.height // down):
                raise MediaFault("badShape", f"plane {i} of {video.fourcc}: {rows} rows of {row} bytes do not make {video.width} × {video.height}")
        if offset + (rows - 1) * stride + row > data_bytes:
            raise MediaFault("outOfBounds", f"plane {i} goes beyond the data's {data_bytes} bytes")


def _decode_video(payload: Any) -> Video:
    header, data = _open("video", payload)
    fourcc, flags, count, zero, width, height, pts_ns, zeros = struct.unpack_from("<4sHBBIIqQ", header, 16)
    used = min(count, 4)
    if zero or zeros or any(header[48 + 16 * used :]):
        raise MediaFault("notZero", "bytes without meaning are not zero")
    if not all(0x20 <= byte <= 0x7E for byte in fourcc) or flags > 3:
        raise MediaFault("badType", f"fourcc or flags ({flags}) that do not exist")
    if count > 4:
        raise MediaFault("badShape", f"{count} planes, at most 4")
    planes = [Plane(*struct.unpack_from("<IIII", header, 48 + 16 * i)) for i in range(used)]
    video = Video(fourcc.decode("ascii"), width, height, data, bool(flags & 1), bool(flags & 2), pts_ns, planes)
    _check_video(video, planes, len(data))
    return video


def _video_header(video: Video, data_bytes: int) -> bytearray:
    if re.fullmatch(r"[ -~]{4}", video.fourcc) is None:
        raise MediaFault("badType", "a fourcc has four printable characters")
    if video.key_frame is None:
        video = Video(video.fourcc, video.width, video.height, video.data, video.encoded, not video.encoded, video.pts_ns, video.planes)
    planes = list(video.planes) or ([] if video.encoded else dense_planes(video.fourcc, video.width, video.height) or [])
    _time(video.pts_ns)
    _check_video(video, planes, data_bytes)
    header = _begin("video", data_bytes)
    flags = (1 if video.encoded else 0) | (2 if video.key_frame else 0)
    struct.pack_into("<4sHBBIIq", header, 16, video.fourcc.encode("ascii"), flags, len(planes), 0, video.width, video.height, video.pts_ns)
    for i, plane in enumerate(planes):
        struct.pack_into("<IIII", header, 48 + 16 * i, *plane)
    return header


# --- audio and haptics ------------------------------------------------------------------------------------------------------------------

_AUDIO_FORMATS = ("u8", "s16", "s32", "f32", "f64")
_AUDIO_BYTES = {"u8": 1, "s16": 2, "s32": 4, "f32": 4, "f64": 8}
_AUDIO_NUMPY = {"u8": "u1", "s16": "<i2", "s32": "<i4", "f32": "<f4", "f64": "<f8"}
_QUANTITIES = ("drive", "force", "torque", "pressure", "acceleration", "temperature", "position")
_SOUND = struct.Struct("<BBHIIIq")


def _check_frames(frames: int, frame_bytes: int, data_bytes: int) -> None:
    if not 0 <= frames <= 0xFFFFFFFF or frames * frame_bytes != data_bytes:
        raise MediaFault("outOfBounds", f"{frames} frames of {frame_bytes} bytes, there are {data_bytes}")


def _decode_audio(payload: Any) -> Audio:
    header, data = _open("audio", payload)
    code, layout, channels, rate_hz, frames, zero, pts_ns = _SOUND.unpack_from(header, 16)
    if zero or any(header[40:]):
        raise MediaFault("notZero", "bytes without meaning are not zero")
    name = _pick(_AUDIO_FORMATS, code, "format")
    if layout > 1:
        raise MediaFault("badType", f"layout {layout}")
    _between(channels, 1, 256, "channels")
    _between(rate_hz, 1, 100_000_000, "rate")
    _check_frames(frames, channels * _AUDIO_BYTES[name], len(data))
    return Audio(name, channels, rate_hz, data, layout == 1, pts_ns)


def _audio_header(audio: Audio, data_bytes: int) -> bytearray:
    code = _code(_AUDIO_FORMATS, audio.format, "format")
    _between(audio.channels, 1, 256, "channels")
    _between(audio.rate_hz, 1, 100_000_000, "rate")
    _time(audio.pts_ns)
    frame_bytes = audio.channels * _AUDIO_BYTES[audio.format]
    _check_frames(data_bytes // frame_bytes, frame_bytes, data_bytes)
    header = _begin("audio", data_bytes)
    _SOUND.pack_into(header, 16, code, 1 if audio.planar else 0, audio.channels, audio.rate_hz, data_bytes // frame_bytes, 0, audio.pts_ns)
    return header


def _decode_haptic(payload: Any) -> Haptic:
    header, data = _open("haptic", payload)
    code, zero, channels, rate_hz, frames, zeros, pts_ns = _SOUND.unpack_from(header, 16)
    if zero or zeros or any(header[40:]):
        raise MediaFault("notZero", "bytes without meaning are not zero")
    name = _pick(_QUANTITIES, code, "quantity")
    _between(channels, 1, 1024, "channels")
    _between(rate_hz, 0, 1_000_000, "rate")
    _check_frames(frames, 4 * channels, len(data))
    return Haptic(name, channels, data, rate_hz, pts_ns)


def _haptic_header(haptic: Haptic, data_bytes: int) -> bytearray:
    code = _code(_QUANTITIES, haptic.quantity, "quantity")
    _between(haptic.channels, 1, 1024, "channels")
    _between(haptic.rate_hz, 0, 1_000_000, "rate")
    _time(haptic.pts_ns)
    frames = data_bytes // (4 * haptic.channels)
    _check_frames(frames, 4 * haptic.channels, data_bytes)
    header = _begin("haptic", data_bytes)
    _SOUND.pack_into(header, 16, code, 0, haptic.channels, haptic.rate_hz, frames, 0, haptic.pts_ns)
    return header


# --- points -----------------------------------------------------------------------------------------------------------------------------

_POINT_TYPES = ("i8", "u8", "i16", "u16", "i32", "u32", "f32", "f64", "i64", "u64")
_POINT_NUMPY = {"i8": "i1", "u8": "u1", "i16": "<i2", "u16": "<u2", "i32": "<i4", "u32": "<u4", "f32": "<f4", "f64": "<f8", "i64": "<i8", "u64": "<u8"}
_POINT_FIELD = struct.Struct("<24sBBHI")


def _check_points(points: Points, count: int, data_bytes: int) -> None:
    if not 1 <= len(points.fields) <= 16:
        raise MediaFault("badShape", f"{len(points.fields)} fields, 1 to 16")
    _between(points.stride_bytes, 1, 65535, "stride")
    _between(count, 0, 0xFFFFFFFF, "points")
    _between(points.columns, 0, 0xFFFFFFFF, "columns")
    if points.columns and count % points.columns:
        raise MediaFault("badShape", f"{count} points do not make rows of {points.columns}")
    for item in points.fields:
        _between(item.count, 1, 255, f"numbers of {item.name}")
    if count * points.stride_bytes != data_bytes:
        raise MediaFault("outOfBounds", f"{count} points of {points.stride_bytes} bytes, there are {data_bytes} bytes")
    for item in points.fields:
        if item.offset_bytes < 0 or item.offset_bytes + item.count * int(item.type[1:]) // 8 > points.stride_bytes:
            raise MediaFault("outOfBounds", f"{item.name} goes beyond the point's {points.stride_bytes} bytes")
    names = [item.name for item in points.fields]
    if len(set(names)) != len(names) or not all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]{0,23}", name) for name in names):
        raise MediaFault("badName", "a field without a name of its own")


def _decode_points(payload: Any) -> Points:
    header, data = _open("points", payload)
    count, stride, columns, claimed, flags, time_ns = struct.unpack_from("<IIIHHq", header, 16)
    used = min(claimed, 16)
    _must_be_zero(header, (40, 64), (64 + 32 * used, 576))
    raw = [_POINT_FIELD.unpack_from(header, 64 + 32 * i) for i in range(used)]
    if any(zero for _, _, _, zero, _ in raw):
        raise MediaFault("notZero", "bytes without meaning are not zero")
    fields = []
    for name, code, numbers, _, offset in raw:
        kind = _pick(_POINT_TYPES, code, "field type")
        text = name.rstrip(b"\0")
        fields.append(PointField("" if b"\0" in text else text.decode("latin-1"), kind, offset, numbers))
    if flags > 1:
        raise MediaFault("badType", f"flags {flags}")
    if claimed > 16:
        raise MediaFault("badShape", f"{claimed} fields, at most 16")
    points = Points(fields, stride, data, columns, flags == 1, time_ns)
    _check_points(points, count, len(data))
    return points


def _points_header(points: Points, data_bytes: int) -> bytearray:
    codes = [_code(_POINT_TYPES, item.type, "field type") for item in points.fields]
    _time(points.time_ns)
    count = data_bytes // max(1, points.stride_bytes)
    _check_points(points, count, data_bytes)
    header = _begin("points", data_bytes)
    struct.pack_into("<IIIHHq", header, 16, count, points.stride_bytes, points.columns, len(codes), 1 if points.dense else 0, points.time_ns)
    for i, (item, code) in enumerate(zip(points.fields, codes)):
        _POINT_FIELD.pack_into(header, 64 + 32 * i, item.name.encode("ascii"), code, item.count, 0, item.offset_bytes)
    return header


# --- file -------------------------------------------------------------------------------------------------------------------------------

_MIME = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")


def is_file_name(name: str) -> bool:
    """Whether ``name`` is one path component that may be used as it is: no separators, no control characters, not "." or "..", 1 to 255 bytes of UTF-8."""
    if name in ("", ".", "..") or any(c < " " or c in "\x7f/\\" for c in name):
        return False
    try:
        return len(name.encode("utf-8")) <= 255
    except UnicodeEncodeError:
        return False


def _check_names(name: str, kind: str) -> None:
    if not is_file_name(name):
        raise MediaFault("badName", "not the name of a file")
    if kind and _MIME.fullmatch(kind) is None:
        raise MediaFault("badName", "not a MIME type")


def _decode_file(payload: Any) -> File:
    header, data = _open("file", payload)
    size, place, name_bytes, type_bytes = struct.unpack_from("<QBBB", header, 16)
    _must_be_zero(header, (27, 32), (64 + name_bytes, 320), (320 + min(type_bytes, 127), 448))
    if place > 1:
        raise MediaFault("badType", f"place {place}")
    if type_bytes > 127 or size >= 1 << 53:
        raise MediaFault("badShape", f"{type_bytes} bytes of MIME type, {size} of content")
    if len(data) != (0 if place else size):
        raise MediaFault("outOfBounds", f"{size} bytes, there are {len(data)}")
    try:
        name = bytes(header[64 : 64 + name_bytes]).decode("utf-8")
    except UnicodeDecodeError:
        raise MediaFault("badName", "not the name of a file") from None
    kind = bytes(header[320 : 320 + type_bytes]).decode("latin-1")
    _check_names(name, kind)
    return File(name, None if place else data, kind, size, bytes(header[32:64]))


def _file_header(file: File, data_bytes: int) -> bytearray:
    if not 0 <= file.size_bytes < 1 << 53 or len(file.sha256) != 32:
        raise MediaFault("badShape", "give the content, or its size and SHA-256")
    if len(file.type) > 127:
        raise MediaFault("badShape", f"{len(file.type)} bytes of MIME type")
    _check_names(file.name, file.type)
    name, kind = file.name.encode("utf-8"), file.type.encode("latin-1")
    header = _begin("file", data_bytes)
    struct.pack_into("<QBBB", header, 16, file.size_bytes, 0 if file.content is not None else 1, len(name), len(kind))
    header[32:64] = file.sha256
    header[64 : 64 + len(name)] = name
    header[320 : 320 + len(kind)] = kind
    return header


# --- all of them -------------------------------------------------------------------------------------------------------------------------

_DECODERS: Dict[str, Callable[[Any], Any]] = {"tensor": _decode_tensor, "video": _decode_video, "audio": _decode_audio, "points": _decode_points, "haptic": _decode_haptic, "file": _decode_file}
_TYPES: Dict[type, Tuple[str, Callable[[Any, int], bytearray]]] = {
    Tensor: ("tensor", _tensor_header), Video: ("video", _video_header), Audio: ("audio", _audio_header), Points: ("points", _points_header), Haptic: ("haptic", _haptic_header), File: ("file", _file_header),
}


def decode(encoding: str, payload: Any) -> Any:
    """The payload's value; its data is a view of ``payload``. Raises MediaFault."""
    return _DECODERS[encoding](payload)


def parts(value: Any) -> Tuple[str, bytearray, memoryview]:
    """Encoding, header and data of a value: what ``encode`` puts one behind the other. Raises MediaFault."""
    encoding, header = _TYPES[type(value)]
    data = value.content if isinstance(value, File) else value.data
    view = memoryview(b"" if data is None else data)
    if not view.c_contiguous:
        view = memoryview(view.tobytes())
    view = view.cast("B") if view.nbytes else memoryview(b"")
    return encoding, header(value, view.nbytes), view


def encode(value: Any) -> bytes:
    """The payload of a Tensor, Video, Audio, Points, Haptic or File. Raises MediaFault."""
    _, header, data = parts(value)
    return b"".join((header, data))


def is_media(value: Any) -> bool:
    return type(value) in _TYPES


def schema_text(encoding: str, constraints: Optional[Dict[str, Any]] = None) -> str:
    """The canonical text of a media schema: what a topic fixes (its ``jsonSchema``), None in a list leaving an item open."""
    return json.dumps(["ipcnet schema 1", encoding, constraints or None], separators=(",", ":"), ensure_ascii=False, sort_keys=True)


def schema_hash(encoding: str, constraints: Optional[Dict[str, Any]] = None) -> int:
    """First 8 bytes (big-endian) of the SHA-256 of the canonical text."""
    return int.from_bytes(hashlib.sha256(schema_text(encoding, constraints).encode("utf-8")).digest()[:8], "big")


__all__ = ["ENCODINGS", "DTYPES", "MediaFault", "Plane", "Video", "Audio", "PointField", "Points", "Haptic", "File", "Tensor", "decode", "encode", "parts", "is_media", "is_file_name", "dense_planes", "schema_text", "schema_hash"]
