"""Tensors: an element type, a shape and strides over bytes, exchanged with NumPy, PyTorch, TensorFlow and JAX without copies (DLPack).

Whatever is made from a tensor keeps the memory alive that it looks at: NumPy arrays through the buffer protocol, DLPack consumers until they call the deleter.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any, Dict, List, Optional, Sequence, Tuple

from .status import IpcnetError, Status

#: Name → (DLPack code, bits).
DTYPES: Dict[str, Tuple[int, int]] = {
    "int8": (0, 8), "int16": (0, 16), "int32": (0, 32), "int64": (0, 64), "uint8": (1, 8), "uint16": (1, 16), "uint32": (1, 32), "uint64": (1, 64),
    "float16": (2, 16), "float32": (2, 32), "float64": (2, 64), "bfloat16": (4, 16), "complex64": (5, 64), "complex128": (5, 128), "bool": (6, 8),
    "float8_e3m4": (7, 8), "float8_e4m3": (8, 8), "float8_e4m3b11fnuz": (9, 8), "float8_e4m3fn": (10, 8), "float8_e4m3fnuz": (11, 8), "float8_e5m2": (12, 8), "float8_e5m2fnuz": (13, 8),
    "float8_e8m0fnu": (14, 8),
}
_NAMES = {code: name for name, code in DTYPES.items()}


def dtype_name(code: int, bits: int, lanes: int = 1) -> Optional[str]:
    """Its name ("float32", "float32x4"), None when code and bits do not go together."""
    name = _NAMES.get((code, bits))
    return name if name is None or lanes == 1 else f"{name}x{lanes}"


def parse_dtype(name: str) -> Tuple[int, int, int]:
    """Code, bits and lanes; IpcnetError 209 for a name that does not exist."""
    if name in DTYPES:
        return (*DTYPES[name], 1)
    base, _, lanes = name.rpartition("x")
    if base in DTYPES and lanes.isascii() and lanes.isdigit() and lanes[0] != "0" and 2 <= int(lanes) <= 256:
        return (*DTYPES[base], int(lanes))
    raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"there is no element type {name}")


class Tensor:
    """An n-dimensional array over ``data`` (bytes-like). ``strides`` are in elements, never negative; row-major without gaps unless given."""

    __slots__ = ("dtype", "shape", "strides", "data", "__weakref__")

    def __init__(self, dtype: str, shape: Sequence[int], data: Any, strides: Optional[Sequence[int]] = None) -> None:
        parse_dtype(dtype)
        self.dtype = dtype
        self.shape: Tuple[int, ...] = tuple(int(side) for side in shape)
        self.strides: Tuple[int, ...] = _dense(self.shape) if strides is None else tuple(int(stride) for stride in strides)
        self.data = data if isinstance(data, memoryview) else memoryview(data)
        if len(self.strides) != len(self.shape):
            raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"{len(self.strides)} strides for {len(self.shape)} dimensions")
        _check_reach(self)

    def __repr__(self) -> str:
        return f"Tensor({self.dtype}, {list(self.shape)})"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def item_bytes(self) -> int:
        _, bits, lanes = parse_dtype(self.dtype)
        return bits // 8 * lanes

    def is_dense(self) -> bool:
        """Whether it is row-major without gaps."""
        return all(side <= 1 or stride == dense for side, stride, dense in zip(self.shape, self.strides, _dense(self.shape))) or 0 in self.shape

    # --- NumPy ---

    @classmethod
    def from_numpy(cls, array: Any) -> "Tensor":
        """Looks at the array's memory; a copy when strides are negative or repeat (broadcasts), or the byte order is not little-endian."""
        import numpy

        array = numpy.asarray(array)
        if array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("<"))
        size = array.dtype.itemsize
        if any(stride < 0 or stride % size or (stride == 0 and side > 1) for side, stride in zip(array.shape, array.strides)):
            array = numpy.ascontiguousarray(array)
        name = str(array.dtype)
        parse_dtype(name)
        if array.flags.c_contiguous:
            flat: Any = array.reshape(-1).view(numpy.uint8)
            return cls(name, array.shape, memoryview(flat) if array.size else b"")
        # The bytes from the first element to the last: as long as all of the array, and in the order of its memory.
        reach = size + sum((side - 1) * stride for side, stride in zip(array.shape, array.strides))
        flat = numpy.lib.stride_tricks.as_strided(array.view(), (reach // size,), (size,)).view(numpy.uint8)
        return cls(name, array.shape, memoryview(flat), [stride // size for stride in array.strides])

    def to_numpy(self) -> Any:
        """An array over the same memory. bfloat16 and eight-bit floats need the package ml_dtypes."""
        import numpy

        code, bits, lanes = parse_dtype(self.dtype)
        name = _NAMES[code, bits]
        kind = _ml_dtype(name) if code == 4 or code >= 7 else numpy.dtype(name).newbyteorder("<")
        shape, strides, size = self.shape, [stride * self.item_bytes for stride in self.strides], self.item_bytes
        if lanes > 1:
            shape, strides = (*shape, lanes), [*strides, size // lanes]
        if not self.data.nbytes:
            return numpy.empty(shape, kind)
        return numpy.ndarray(shape, kind, self.data, 0, strides)

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> Any:
        array = self.to_numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    # --- DLPack and who speaks it ---

    def __dlpack_device__(self) -> Tuple[int, int]:
        return (1, 0)

    def __dlpack__(self, *, stream: Any = None, max_version: Optional[Tuple[int, int]] = None, dl_device: Optional[Tuple[int, int]] = None, copy: Optional[bool] = None) -> Any:
        """A capsule over the same memory (a copy if asked). The memory lives until its consumer calls the deleter."""
        if dl_device is not None and tuple(dl_device) != (1, 0):
            raise BufferError("the tensor is in the memory of the processor")
        tensor = Tensor(self.dtype, self.shape, bytearray(self.data), self.strides) if copy else self
        return _export(tensor, versioned=max_version is not None and max_version[0] >= 1)

    @classmethod
    def from_dlpack(cls, source: Any) -> "Tensor":
        """Looks at the memory of anything with ``__dlpack__`` (PyTorch, TensorFlow, JAX, NumPy …) in the processor's memory, which stays alive as long as this."""
        if hasattr(source, "__dlpack_device__"):
            device = int(source.__dlpack_device__()[0])
            if device not in _CPU_DEVICES:
                raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"its memory is on another device (DLPack kind {device}): copy it to the processor first")
        return _import(source.__dlpack__())

    @classmethod
    def from_torch(cls, tensor: Any) -> "Tensor":
        """Looks at a PyTorch tensor's memory (a copy if it is on another device, lazily negated or conjugated)."""
        return cls.from_dlpack(tensor.detach().cpu().resolve_conj().resolve_neg())

    def to_torch(self) -> Any:
        """A PyTorch tensor over the same memory."""
        import torch

        return torch.from_dlpack(self)

    @classmethod
    def from_tensorflow(cls, tensor: Any) -> "Tensor":
        """Looks at an eager TensorFlow tensor's memory."""
        import tensorflow

        with tensorflow.device("/CPU:0"):
            return _import(tensorflow.experimental.dlpack.to_dlpack(tensorflow.identity(tensor)))

    def to_tensorflow(self) -> Any:
        """A TensorFlow tensor over the same memory; over a copy where TensorFlow wants more than this has: row-major without gaps, 64-byte aligned."""
        import tensorflow

        source = self
        if not self.is_dense() or (self.data.nbytes and _address(self.data) % 64):
            source = self._aligned_copy()
        return tensorflow.experimental.dlpack.from_dlpack(_export(source, versioned=False))

    def _aligned_copy(self) -> "Tensor":
        size = self.item_bytes
        for side in self.shape:
            size *= side
        room = bytearray(size + 64)
        start = -_address(memoryview(room)) % 64
        view = memoryview(room)[start : start + size]
        _copy_dense(self, view)
        return Tensor(self.dtype, self.shape, view)


def _dense(shape: Sequence[int]) -> Tuple[int, ...]:
    strides: List[int] = []
    step = 1
    for side in reversed(shape):
        strides.append(step)
        step *= side or 1
    return tuple(reversed(strides))


def _check_reach(tensor: Tensor) -> None:
    if any(side < 0 for side in tensor.shape) or any(stride < 0 for stride in tensor.strides):
        raise IpcnetError(Status.UNPROCESSABLE_CONTENT, "sides and strides are not negative")
    if 0 in tensor.shape:
        return
    last = sum((side - 1) * stride for side, stride in zip(tensor.shape, tensor.strides))
    if (last + 1) * tensor.item_bytes > tensor.data.nbytes:
        raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"element {last} lies beyond the data's {tensor.data.nbytes} bytes")


def _ml_dtype(name: str) -> Any:
    import numpy

    try:
        import ml_dtypes  # type: ignore[import-not-found,import-untyped,unused-ignore]

        return numpy.dtype(getattr(ml_dtypes, name))
    except (ImportError, AttributeError):
        raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"NumPy has no {name} without the package ml_dtypes") from None


def _copy_dense(tensor: Tensor, out: memoryview) -> None:
    """The elements in row-major order."""
    data, size = tensor.data.cast("B") if tensor.data.format != "B" or tensor.data.ndim != 1 else tensor.data, tensor.item_bytes
    if tensor.is_dense():
        out[:] = data[: len(out)]
        return
    at = 0
    offsets = [0]
    for side, stride in zip(tensor.shape, tensor.strides):
        offsets = [offset + i * stride for offset in offsets for i in range(side)]
    for offset in offsets:
        out[at : at + size] = data[offset * size : (offset + 1) * size]
        at += size


# --- DLPack's structs (dlpack.h 0.8 and 1.0) ---------------------------------------------------------------------------------------------

#: kDLCPU, kDLCUDAHost, kDLROCMHost
_CPU_DEVICES = (1, 3, 11)


class _DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p), ("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32), ("ndim", ctypes.c_int32), ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16), ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64),
    ]


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _DLTensor), ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class _Versioned(ctypes.Structure):
    _fields_ = [("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p), ("flags", ctypes.c_uint64), ("tensor", _DLTensor)]


_capsule_new = ctypes.pythonapi.PyCapsule_New
_capsule_new.restype, _capsule_new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_capsule_is = ctypes.pythonapi.PyCapsule_IsValid
_capsule_is.restype, _capsule_is.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype, _capsule_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_capsule_rename = ctypes.pythonapi.PyCapsule_SetName
_capsule_rename.restype, _capsule_rename.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]

_NAME, _USED = b"dltensor", b"used_dltensor"
_VERSIONED, _VERSIONED_USED = b"dltensor_versioned", b"used_dltensor_versioned"
_READ_ONLY = 1

#: What consumers hold, by the address of its struct: (struct, shape, strides, memory). The deleter takes it out.
_held: Dict[int, Any] = {}
#: Capsules that nobody may have taken yet. A capsule's own destructor could not be Python (it may run while an exception is on its way), so those that were dropped
#: unused are found here, at the next export: nobody else has them, and they still have their first name.
_waiting: List[Tuple[Any, bytes, int]] = []


def _forget(address: Optional[int]) -> None:
    if address is not None:
        _held.pop(address, None)


_deleter = _Deleter(_forget)
_deleter_address = ctypes.cast(_deleter, ctypes.c_void_p).value


def _sweep() -> None:
    still: List[Tuple[Any, bytes, int]] = []
    while _waiting:
        capsule, name, address = _waiting.pop()
        if not _capsule_is(capsule, name):
            continue
        # Two references: the name `capsule` and the argument.
        if sys.getrefcount(capsule) <= 2:
            _forget(address)
        else:
            still.append((capsule, name, address))
    _waiting.extend(still)


def _export(tensor: Tensor, versioned: bool) -> Any:
    _sweep()
    code, bits, lanes = parse_dtype(tensor.dtype)
    memory = Memory(tensor.data)
    count = max(1, tensor.ndim)
    shape, strides = (ctypes.c_int64 * count)(*tensor.shape), (ctypes.c_int64 * count)(*tensor.strides)
    managed: Any = _Versioned() if versioned else _Managed()
    if versioned:
        managed.major, managed.minor, managed.flags = 1, 0, _READ_ONLY if tensor.data.readonly else 0
    managed.deleter = _deleter_address
    target = managed.tensor
    target.data, target.device_type, target.ndim, target.code, target.bits, target.lanes = memory.address or None, 1, tensor.ndim, code, bits, lanes
    target.shape, target.strides = ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64)), ctypes.cast(strides, ctypes.POINTER(ctypes.c_int64))
    address = ctypes.addressof(managed)
    name = _VERSIONED if versioned else _NAME
    _held[address] = (managed, shape, strides, memory)
    capsule = _capsule_new(address, name, None)
    _waiting.append((capsule, name, address))
    return capsule


class _Imported:
    """Holds a foreign managed tensor: its deleter is called when the last view of it is gone."""

    def __init__(self, address: int, deleter: Optional[int]) -> None:
        self._address, self._deleter = address, deleter

    def __del__(self) -> None:
        if self._deleter:
            _Deleter(self._deleter)(self._address)


def _import(capsule: Any) -> Tensor:
    versioned = bool(_capsule_is(capsule, _VERSIONED))
    if not versioned and not _capsule_is(capsule, _NAME):
        raise IpcnetError(Status.UNPROCESSABLE_CONTENT, "not a DLPack capsule, or one that was used before")
    address = _capsule_pointer(capsule, _VERSIONED if versioned else _NAME)
    managed: Any = (_Versioned if versioned else _Managed).from_address(address)
    if versioned and managed.major != 1:
        raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"DLPack {managed.major} is not known here")
    _capsule_rename(capsule, _VERSIONED_USED if versioned else _USED)
    owner = _Imported(address, managed.deleter)
    source = managed.tensor
    shape = tuple(source.shape[i] for i in range(source.ndim))
    strides = tuple(source.strides[i] for i in range(source.ndim)) if source.strides else _dense(shape)
    name = dtype_name(source.code, source.bits, source.lanes)
    if source.device_type not in _CPU_DEVICES or name is None:
        raise IpcnetError(Status.UNPROCESSABLE_CONTENT, f"device {source.device_type}, type {source.code}/{source.bits}/{source.lanes}")
    if 0 in shape:
        return Tensor(name, shape, b"")
    low = sum((side - 1) * stride for side, stride in zip(shape, strides) if stride < 0)
    high = sum((side - 1) * stride for side, stride in zip(shape, strides) if stride > 0)
    size = source.bits // 8 * source.lanes
    raw: Any = (ctypes.c_char * ((high - low + 1) * size)).from_address(source.data + source.byte_offset + low * size)
    # Views keep the object alive that they look at, and it its owner.
    raw.owner = owner
    view = memoryview(raw).cast("B")
    if low < 0 or any(stride == 0 and side > 1 for side, stride in zip(shape, strides)):
        return _gathered(name, shape, strides, view, -low, size)
    return Tensor(name, shape, view, strides)


def _gathered(name: str, shape: Sequence[int], strides: Sequence[int], view: memoryview, first: int, size: int) -> Tensor:
    """A row-major copy of what has negative or repeating strides."""
    offsets = [first]
    for side, stride in zip(shape, strides):
        offsets = [offset + i * stride for offset in offsets for i in range(side)]
    return Tensor(name, shape, b"".join(bytes(view[offset * size : (offset + 1) * size]) for offset in offsets))


class _PyBuffer(ctypes.Structure):
    """Py_buffer, as it is since Python 3.3."""

    _fields_ = [
        ("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("len", ctypes.c_ssize_t), ("itemsize", ctypes.c_ssize_t), ("readonly", ctypes.c_int), ("ndim", ctypes.c_int), ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p), ("suboffsets", ctypes.c_void_p), ("internal", ctypes.c_void_p),
    ]


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.restype, _get_buffer.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int]
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.restype, _release_buffer.argtypes = None, [ctypes.POINTER(_PyBuffer)]


class Memory:
    """The address and size of a bytes-like object (C-contiguous), which can neither move nor go as long as this lives. Raises BufferError or TypeError for anything else."""

    __slots__ = ("_buffer", "address", "size", "_release")

    def __init__(self, data: Any) -> None:
        self._buffer = _PyBuffer()
        self._release = None
        _get_buffer(data, ctypes.byref(self._buffer), 0)
        self._release = _release_buffer
        self.address: int = self._buffer.buf or 0
        self.size: int = self._buffer.len

    def __del__(self) -> None:
        if self._release is not None:
            self._release(ctypes.byref(self._buffer))


def _address(data: Any) -> int:
    return Memory(data).address

