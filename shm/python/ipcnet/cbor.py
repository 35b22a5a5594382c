"""CBOR (RFC 8949) as the client socket uses it: maps with text keys, nesting at most 32. Bytes in, values out.

Python to CBOR: None, bool, int (64 bits), float (binary64), str, bytes-like, list and tuple, dict with str keys; NumPy scalars as their Python values.
"""

from __future__ import annotations

import struct
from typing import Any, Dict, List, Tuple

from .status import IpcnetError, Status

DEPTH_MAX = 32

_BREAK = object()
_UNDEFINED = None


def dumps(value: Any) -> bytes:
    """The bytes of one value. IpcnetError 209 for what has no form here."""
    out = bytearray()
    _write(out, value, 0)
    return bytes(out)


def _head(out: bytearray, major: int, number: int) -> None:
    if number < 24:
        out.append(major << 5 | number)
    elif number < 0x100:
        out += struct.pack(">BB", major << 5 | 24, number)
    elif number < 0x10000:
        out += struct.pack(">BH", major << 5 | 25, number)
    elif number < 0x100000000:
        out += struct.pack(">BI", major << 5 | 26, number)
    else:
        out += struct.pack(">BQ", major << 5 | 27, number)


def _refuse(what: str) -> IpcnetError:
    return IpcnetError(Status.UNPROCESSABLE_CONTENT, what)


def _write(out: bytearray, value: Any, depth: int) -> None:
    if depth > DEPTH_MAX:
        raise _refuse("nested too deeply, or in itself")
    if value is None:
        out.append(0xF6)
    elif value is True or value is False:
        out.append(0xF5 if value else 0xF4)
    elif isinstance(value, int):
        number = int(value)
        if not -(1 << 64) <= number < 1 << 64:
            raise _refuse(f"{number} has more than 64 bits")
        _head(out, 0 if number >= 0 else 1, number if number >= 0 else -1 - number)
    elif isinstance(value, float):
        out += struct.pack(">Bd", 0xFB, value)
    elif isinstance(value, str):
        try:
            text = value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise _refuse(f"a text that is not Unicode: {error.reason}") from None
        _head(out, 3, len(text))
        out += text
    elif isinstance(value, (bytes, bytearray)):
        _head(out, 2, len(value))
        out += value
    elif isinstance(value, memoryview):
        _head(out, 2, value.nbytes)
        out += value.tobytes()
    elif isinstance(value, (list, tuple)):
        _head(out, 4, len(value))
        for item in value:
            _write(out, item, depth + 1)
    elif isinstance(value, dict):
        _head(out, 5, len(value))
        for key, item in value.items():
            if not isinstance(key, str):
                raise _refuse(f"a key is a text, not {type(key).__name__}")
            _write(out, key, depth + 1)
            _write(out, item, depth + 1)
    elif hasattr(value, "tolist") and hasattr(value, "dtype"):
        # NumPy: a scalar becomes a number, an array lists of them.
        _write(out, value.tolist(), depth)
    else:
        raise _refuse(f"{type(value).__name__} has no form in CBOR")


def loads(data: Any) -> Any:
    """The one value that ``data`` (bytes-like) is. IpcnetError 200 for anything else: cut off, followed by more, nested too deeply, a key that is no text or comes twice."""
    view = bytes(data)
    try:
        value, at = _read(view, 0, 0)
    except (struct.error, IndexError):
        raise IpcnetError(Status.BAD_REQUEST, "CBOR that is cut off") from None
    except UnicodeDecodeError:
        raise IpcnetError(Status.BAD_REQUEST, "CBOR with a text that is not UTF-8") from None
    if value is _BREAK or at != len(view):
        raise IpcnetError(Status.BAD_REQUEST, f"not one CBOR value: it ends at byte {at} of {len(view)}")
    return value


_SIZES = {24: ">B", 25: ">H", 26: ">I", 27: ">Q"}


def _bad(at: int, what: str) -> IpcnetError:
    return IpcnetError(Status.BAD_REQUEST, f"{what} at byte {at} of CBOR")


def _read(view: bytes, at: int, depth: int) -> Tuple[Any, int]:
    start = at
    initial = view[at]
    major, low = initial >> 5, initial & 31
    at += 1
    if major == 7:
        return _simple(view, at, low)
    number = low
    if low in _SIZES:
        (number,) = struct.unpack_from(_SIZES[low], view, at)
        at += struct.calcsize(_SIZES[low])
    elif low == 31 and major in (2, 3, 4, 5):
        number = -1
    elif low > 27:
        raise _bad(start, "a head that does not exist")
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        return _string(view, at, major, number)
    if depth >= DEPTH_MAX:
        raise _bad(start, "nesting of more than 32")
    if major == 6:
        return _read(view, at, depth + 1)
    # Each item takes a byte at least: a count beyond the rest is a lie, found before anything is allocated.
    if number > len(view) - at:
        raise _bad(start, "a count beyond the end")
    if major == 4:
        items: List[Any] = []
        while number < 0 or len(items) < number:
            item, at = _read(view, at, depth + 1)
            if item is _BREAK:
                if number >= 0:
                    raise _bad(at, "a break")
                break
            items.append(item)
        return items, at
    entries: Dict[str, Any] = {}
    count = 0
    while number < 0 or count < number:
        key, at = _read(view, at, depth + 1)
        if key is _BREAK and number < 0:
            break
        if not isinstance(key, str) or key in entries:
            raise _bad(at, "a key that is no text or comes twice")
        value, at = _read(view, at, depth + 1)
        if value is _BREAK:
            raise _bad(at, "a break")
        entries[key] = value
        count += 1
    return entries, at


def _string(view: bytes, at: int, major: int, length: int) -> Tuple[Any, int]:
    if length < 0:
        pieces = bytearray()
        while view[at] != 0xFF:
            if view[at] >> 5 != major or view[at] & 31 == 31:
                raise _bad(at, "a piece of another type")
            low, at = view[at] & 31, at + 1
            if low in _SIZES:
                (piece,) = struct.unpack_from(_SIZES[low], view, at)
                at += struct.calcsize(_SIZES[low])
            elif low < 24:
                piece = low
            else:
                raise _bad(at, "a head that does not exist")
            if piece > len(view) - at:
                raise _bad(at, "a string beyond the end")
            pieces += view[at : at + piece]
            at += piece
        data, at = bytes(pieces), at + 1
    else:
        if length > len(view) - at:
            raise _bad(at, "a string beyond the end")
        data, at = view[at : at + length], at + length
    return (data.decode("utf-8") if major == 3 else data), at


def _simple(view: bytes, at: int, low: int) -> Tuple[Any, int]:
    if low == 20 or low == 21:
        return low == 21, at
    if low == 22:
        return None, at
    if low == 23:
        return _UNDEFINED, at
    if low == 25:
        return struct.unpack_from(">e", view, at)[0], at + 2
    if low == 26:
        return struct.unpack_from(">f", view, at)[0], at + 4
    if low == 27:
        return struct.unpack_from(">d", view, at)[0], at + 8
    if low == 31:
        return _BREAK, at
    raise _bad(at - 1, "a simple value that does not exist")
