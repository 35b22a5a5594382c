"""Records: fixed layouts, little-endian (docs/specs/records.md). A layout comes with its topic's description and is checked before it is used."""

from __future__ import annotations

import math
import struct
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Union

from .status import IpcnetError, Status

Number = Union[int, float]

_CODES = {"f64": "d", "f32": "f", "i8": "b", "u8": "B", "i16": "h", "u16": "H", "i32": "i", "u32": "I", "i64": "q", "u64": "Q"}
_NUMPY = {"f64": "<f8", "f32": "<f4", "i8": "i1", "u8": "u1", "i16": "<i2", "u16": "<u2", "i32": "<i4", "u32": "<u4", "i64": "<i8", "u64": "<u8"}


class RecordField(NamedTuple):
    """A field of a record."""

    name: str
    type: str
    offset_bytes: int
    unit: str = ""
    minimum: Optional[float] = None
    maximum: Optional[float] = None
    #: Names of values, by value.
    values: Mapping[Number, str] = {}


class Layout:
    """Where the fields of a record stand, and how to read and write them."""

    def __init__(self, name: str, size_bytes: int, fields: List[RecordField], presence_bytes: int = 0, schema_hash: str = "") -> None:
        self.name = name
        self.size_bytes = size_bytes
        self.fields = fields
        #: Bytes of the presence bitmap at the record's start; 0: every field is always present.
        self.presence_bytes = presence_bytes
        self.schema_hash = schema_hash
        self._structs = [struct.Struct("<" + _CODES[field.type]) for field in fields]
        self._words = [{word: value for value, word in field.values.items()} for field in fields]
        self._dense = None if presence_bytes else self._one_struct()
        self._dtype: Any = None

    @classmethod
    def from_description(cls, layout: Any) -> Optional["Layout"]:
        """The layout in a topic's description; None unless every field lies within the record and all is of the right type."""
        try:
            size, presence, raw = layout["sizeBytes"], layout.get("presenceBytes", 0), layout["fields"]
            if not (isinstance(size, int) and 0 <= size <= 65536 and isinstance(presence, int) and 0 <= presence <= size and len(raw) <= 4096):
                return None
            if presence and presence * 8 < len(raw):
                return None
            fields = [_field(item, size) for item in raw]
            return cls(str(layout["name"]), size, fields, presence, str(layout["hash"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            return None

    def _one_struct(self) -> Optional[struct.Struct]:
        """One struct for the whole record in the order of the list, if that is the order in memory; else None."""
        text, at = "<", 0
        for field in self.fields:
            if field.offset_bytes < at:
                return None
            text += f"{field.offset_bytes - at}x{_CODES[field.type]}"
            at = field.offset_bytes + struct.calcsize("<" + _CODES[field.type])
        return struct.Struct(text)

    def is_present(self, index: int, record: Any) -> bool:
        return not self.presence_bytes or bool(record[index >> 3] & 1 << (index & 7))

    def decode(self, record: Any) -> Dict[str, Number]:
        """The record (bytes-like) as a dict; absent fields are left out. IpcnetError 209 for another size."""
        if len(record) != self.size_bytes:
            raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"{self.name}: {len(record)} bytes instead of {self.size_bytes}")
        if self._dense is not None:
            return dict(zip((field.name for field in self.fields), self._dense.unpack_from(record)))
        return {field.name: self._structs[i].unpack_from(record, field.offset_bytes)[0] for i, field in enumerate(self.fields) if self.is_present(i, record)}

    def encode(self, values: Mapping[str, Any]) -> bytes:
        """A record with these values; names of values are accepted where the layout has them. Nothing is clamped: IpcnetError 209 says what does not fit."""
        record = bytearray(self.size_bytes)
        left = dict(values)
        for i, field in enumerate(self.fields):
            if field.name not in left:
                if not self.presence_bytes:
                    raise self._refuse(f"{field.name} is missing")
                continue
            value = left.pop(field.name)
            if isinstance(value, str):
                if value not in self._words[i]:
                    raise self._refuse(f"{field.name} has no value called {value}")
                value = self._words[i][value]
            self._put(record, i, field, value)
        if left:
            raise self._refuse(f"there is no field {next(iter(left))}")
        return bytes(record)

    def _put(self, record: bytearray, i: int, field: RecordField, value: Any) -> None:
        try:
            number = float(value) if field.type[0] == "f" else _whole(value)
        except (TypeError, ValueError, OverflowError):
            raise self._refuse(f"{field.name}: {value!r} is not a number of type {field.type}") from None
        if not math.isfinite(number) or (field.minimum is not None and number < field.minimum) or (field.maximum is not None and number > field.maximum):
            raise self._refuse(f"{field.name}: {value!r} is not from {field.minimum} to {field.maximum}")
        try:
            self._structs[i].pack_into(record, field.offset_bytes, number)
        except (struct.error, OverflowError):
            raise self._refuse(f"{field.name}: {value!r} does not fit {field.type}") from None
        if self.presence_bytes:
            record[i >> 3] |= 1 << (i & 7)

    def _refuse(self, what: str) -> IpcnetError:
        return IpcnetError(Status.UNPROCESSABLE_CONTENT, f"{self.name}: {what}")

    def numpy_dtype(self) -> Any:
        """A structured NumPy dtype that reads records in place. Needs NumPy."""
        if self._dtype is None:
            import numpy

            self._dtype = numpy.dtype({
                "names": [field.name for field in self.fields], "formats": [_NUMPY[field.type] for field in self.fields],
                "offsets": [field.offset_bytes for field in self.fields], "itemsize": self.size_bytes,
            })
        return self._dtype


def _whole(value: Any) -> int:
    number = int(value)
    if number != value:
        raise ValueError(value)
    return number


def _field(raw: Any, size: int) -> RecordField:
    name, kind, offset = raw["name"], raw["type"], raw["offsetBytes"]
    if not isinstance(name, str) or not isinstance(offset, int) or offset < 0 or offset + struct.calcsize("<" + _CODES[kind]) > size:
        raise ValueError(name)
    minimum, maximum = raw.get("minimum"), raw.get("maximum")
    if not all(limit is None or isinstance(limit, (int, float)) for limit in (minimum, maximum)):
        raise ValueError(name)
    values = {int(value) if isinstance(value, str) else value: str(word) for value, word in raw.get("values") or []}
    return RecordField(name, kind, offset, str(raw.get("unit", "")), minimum, maximum, values)
