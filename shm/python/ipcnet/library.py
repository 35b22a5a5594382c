"""libipcnet.so by ctypes: where it is found, and its functions and structs as shm/core/ipcnet.h declares them. Calls release the GIL."""

from __future__ import annotations

import ctypes
import os
import struct
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any, Iterator, Optional

from .status import IpcnetError, Status

ABI_VERSION = 0


class ConnectOptions(Structure):
    _fields_ = [("socket_path", c_char_p), ("name", c_char_p), ("flags", c_uint32), ("fd", c_int32), ("timeout_ms", c_uint32), ("retry_min_ms", c_uint32), ("retry_max_ms", c_uint32), ("reserved", c_uint32 * 3)]


OnNotice = CFUNCTYPE(None, c_void_p, c_int, c_char_p, c_uint64)
OnEnd = CFUNCTYPE(None, c_void_p, c_char_p)
OnReturn = CFUNCTYPE(None, c_void_p)
OnLeaving = CFUNCTYPE(None, c_void_p, c_uint32, c_char_p)


class Handlers(Structure):
    _fields_ = [("context", c_void_p), ("on_notice", OnNotice), ("on_end", OnEnd), ("on_return", OnReturn), ("on_leaving", OnLeaving), ("reserved", c_void_p * 3)]


#: struct ipcnet_message: topic, payload, payload_bytes, lineage, origin, sequence, lost_before, time_ns, wall_time_ns, schema_hash, ttl_ms, origin_id, quality, flags, kind, lineage_count
MESSAGE = struct.Struct("=QQQQQQQQqQIIBBBB4x")
LINEAGE = struct.Struct("=QQQ")

OnMessage = CFUNCTYPE(None, c_void_p, c_void_p)
OnReady = CFUNCTYPE(None, c_void_p, c_void_p)


class SubscribeOptions(Structure):
    _fields_ = [("context", c_void_p), ("on_message", OnMessage), ("on_ready", OnReady), ("rate_hz_max", c_double), ("flags", c_uint32), ("policy", c_uint32), ("queue", c_uint32), ("reserved", c_uint32 * 5)]


class SubscriptionStats(Structure):
    _fields_ = [("messages", c_uint64), ("lost", c_uint64), ("corrupt", c_uint64), ("lanes", c_uint32), ("broken", c_uint32), ("kept_bytes", c_uint64), ("reserved", c_uint64 * 3)]


class PublishOptions(Structure):
    _fields_ = [("id", c_char_p), ("flags", c_uint32), ("ttl_ms", c_uint32), ("reserved", c_uint64 * 2)]


class FieldDefinition(Structure):
    _fields_ = [("name", c_char_p), ("unit", c_char_p), ("minimum", c_double), ("maximum", c_double), ("type", c_uint8), ("reserved", c_uint8 * 7)]


OnSpace = CFUNCTYPE(None, c_void_p, c_void_p)
OnReaders = CFUNCTYPE(None, c_void_p, c_void_p, c_uint32)
OnLost = CFUNCTYPE(None, c_void_p, c_void_p, c_int, c_char_p)


class AdvertiseOptions(Structure):
    _fields_ = [
        ("encoding", c_char_p), ("record_name", c_char_p), ("fields", POINTER(FieldDefinition)), ("json_schema", c_char_p), ("schema_hash", c_uint64), ("payload_bytes_max", c_uint64), ("context", c_void_p),
        ("on_space", OnSpace), ("on_readers", OnReaders), ("on_lost", OnLost), ("field_count", c_uint32), ("policy", c_uint32), ("queue", c_uint32), ("deadline_ms", c_uint32), ("flags", c_uint32), ("reserved", c_uint32 * 7),
    ]


class Lineage(Structure):
    _fields_ = [("origin", c_uint64), ("topic", c_uint64), ("sequence", c_uint64)]


class Meta(Structure):
    _fields_ = [
        ("lineage", POINTER(Lineage)), ("time_ns", c_uint64), ("wall_time_ns", c_int64), ("ttl_ms", c_uint32), ("quality", c_uint8), ("flags", c_uint8), ("kind", c_uint8), ("lineage_count", c_uint8),
        ("more", c_uint32), ("reserved", c_uint32),
    ]


class WriterStats(Structure):
    _fields_ = [("published", c_uint64), ("payload_bytes", c_uint64), ("rings", c_uint64), ("refused_full", c_uint64), ("demoted", c_uint64), ("next_sequence", c_uint64), ("readers", c_uint32), ("reserved", c_uint32 * 3)]


FDS_MAX = 4


class RequestOptions(Structure):
    _fields_ = [("fds", POINTER(c_int)), ("fd_count", c_uint32), ("timeout_ms", c_uint32), ("credit", c_uint32), ("flags", c_uint32), ("group", c_char_p), ("reserved", c_uint64 * 2)]


class Reply(Structure):
    _fields_ = [("body", c_void_p), ("body_bytes", c_size_t), ("text", c_char_p), ("status", c_int32), ("fd_count", c_uint32), ("fds", c_int32 * FDS_MAX), ("reserved", c_uint64)]


OnReply = CFUNCTYPE(None, c_void_p, c_uint32, c_int, POINTER(Reply))
OnItem = CFUNCTYPE(None, c_void_p, c_uint32, POINTER(Reply))
OnCall = CFUNCTYPE(None, c_void_p, c_void_p)
OnCancel = CFUNCTYPE(None, c_void_p, c_void_p, c_int, c_char_p)
OnCredit = CFUNCTYPE(None, c_void_p, c_void_p, c_uint32)


class OfferOptions(Structure):
    _fields_ = [
        ("context", c_void_p), ("on_call", OnCall), ("on_cancel", OnCancel), ("on_credit", OnCredit), ("group", c_char_p), ("description", c_char_p), ("allow", POINTER(c_char_p)), ("deny", POINTER(c_char_p)),
        ("allow_count", c_uint32), ("deny_count", c_uint32), ("rate_hz_max", c_double), ("calls_max", c_uint32), ("capacity", c_uint32), ("reserved", c_uint64 * 3),
    ]


class CallInfo(Structure):
    _fields_ = [
        ("service", c_char_p), ("body", c_void_p), ("body_bytes", c_size_t), ("component", c_char_p), ("deadline_ns", c_int64), ("uid", c_uint32), ("pid", c_int32), ("credit", c_uint32), ("stream", c_uint32),
        ("cancelled", c_uint32), ("fd_count", c_uint32), ("fds", c_int32 * FDS_MAX), ("reserved", c_uint64),
    ]


#: Sizes that the header gives; a mismatch would be memory corruption, so it is looked for when the library is loaded.
SIZES = {
    ConnectOptions: 48, Handlers: 64, SubscribeOptions: 64, SubscriptionStats: 64, PublishOptions: 32, FieldDefinition: 40, AdvertiseOptions: 128, Lineage: 24, Meta: 40, WriterStats: 64, RequestOptions: 48,
    Reply: 56, OfferOptions: 112, CallInfo: 88,
}

_P = c_void_p
_FUNCTIONS = {
    "version": (c_char_p, []), "abi_version": (c_int, []), "status_text": (c_char_p, [c_int]), "free": (None, [_P]),
    "connect": (c_int, [POINTER(_P), POINTER(ConnectOptions)]), "close": (None, [_P]), "last_error_text": (c_char_p, [_P]), "is_connected": (c_int, [_P]), "gateway": (c_char_p, [_P, c_char_p]),
    "set_timeout": (None, [_P, c_uint32]), "poll": (c_int, [_P, c_int]), "fd": (c_int, [_P]), "wakeup": (None, [_P]), "ping": (c_int, [_P]), "set_handlers": (None, [_P, POINTER(Handlers)]),
    "topic_name": (c_char_p, [_P]), "topic_encoding_name": (c_char_p, [_P]), "topic_schema_hash": (c_uint64, [_P]), "topic_writable": (c_int, [_P]), "topic_rate_hz": (c_double, [_P]), "topic_quality": (c_int, [_P]),
    "topic_description": (_P, [_P, POINTER(c_size_t)]), "topics": (c_int, [_P, c_char_p, POINTER(_P)]), "topic_find": (_P, [_P, c_char_p]), "text_id": (c_uint64, [c_char_p]),
    "subscribe": (c_int, [_P, c_char_p, POINTER(SubscribeOptions), POINTER(_P)]), "unsubscribe": (None, [_P]), "subscription_drain": (c_int, [_P, _P, c_uint32, _P, c_size_t, c_int]),
    "subscription_lease": (c_int, [_P, _P]), "subscription_release": (c_int, [_P]), "subscription_stats": (None, [_P, POINTER(SubscriptionStats)]), "query": (c_int, [_P, c_char_p, c_uint32, POINTER(_P)]),
    "publish": (c_int, [_P, c_char_p, _P, c_size_t, POINTER(PublishOptions)]), "flush": (c_int, [_P]),
    "advertise": (c_int, [_P, c_char_p, POINTER(AdvertiseOptions), POINTER(_P)]), "writer_close": (None, [_P]), "writer_publish": (c_int, [_P, _P, c_size_t, POINTER(Meta)]),
    "writer_loan": (c_int, [_P, c_size_t, c_uint32, POINTER(_P)]), "writer_commit": (c_int, [_P, c_size_t, POINTER(Meta)]), "writer_give_up": (None, [_P]), "writer_flush": (None, [_P]), "writer_wait": (c_int, [_P, c_int]),
    "writer_readers": (c_uint32, [_P]), "writer_payload_bytes_max": (c_size_t, [_P]), "writer_topic": (_P, [_P]), "writer_stats": (None, [_P, POINTER(WriterStats)]),
    "reply_free": (None, [POINTER(Reply)]), "request_start": (c_int, [_P, c_char_p, _P, c_size_t, POINTER(RequestOptions), OnReply, OnItem, _P]), "request_credit": (c_int, [_P, c_uint32, c_uint32]),
    "request_cancel": (c_int, [_P, c_uint32]), "offer": (c_int, [_P, c_char_p, POINTER(OfferOptions), POINTER(_P)]), "offer_close": (None, [_P]), "call_info": (None, [_P, POINTER(CallInfo)]),
    "call_take_fd": (c_int, [_P, c_uint32]), "call_item": (c_int, [_P, _P, c_size_t, POINTER(c_int), c_uint32]), "call_answer": (c_int, [_P, c_int, c_char_p, _P, c_size_t, POINTER(c_int), c_uint32]),
    "announce": (c_int, [_P, _P, c_size_t]), "find": (c_int, [_P, c_char_p, c_char_p, POINTER(Reply)]), "grant": (c_int, [_P, c_char_p, c_char_p]), "leaving": (c_int, [_P, c_uint32, c_char_p]), "ready": (c_int, [_P]),
    "more_time": (c_int, [_P, c_uint32]),
    "sealed_file_make": (c_int, [c_char_p, _P, c_size_t]), "sealed_file_check": (c_int64, [c_int]),
}


def _candidates() -> Iterator[str]:
    """$IPCNET_LIBRARY; beside this file (an installed wheel); dist/native of the repository that this file is in; the system's."""
    given = os.environ.get("IPCNET_LIBRARY")
    if given:
        yield given
        return
    here = os.path.dirname(os.path.abspath(__file__))
    yield os.path.join(here, "libipcnet.so")
    at = here
    while os.path.dirname(at) != at:
        at = os.path.dirname(at)
        if os.path.exists(os.path.join(at, "package.json")):
            yield os.path.join(at, "dist", "native", "libipcnet.so")
    yield f"libipcnet.so.{ABI_VERSION}"


class Library:
    """The loaded library: each function under its name without ``ipcnet_``."""

    def __init__(self) -> None:
        self.path, loaded = _load()
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, f"ipcnet_{name}")
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _load() -> Any:
    tried = []
    for path in _candidates():
        if os.sep in path and not os.path.exists(path):
            tried.append(f"{path} (missing)")
            continue
        try:
            loaded = ctypes.CDLL(path)
        except OSError as error:
            tried.append(f"{path} ({error})")
            continue
        loaded.ipcnet_abi_version.restype = c_int
        if loaded.ipcnet_abi_version() != ABI_VERSION:
            raise IpcnetError(Status.VERSION_NOT_SUPPORTED, f"{path} has ABI version {loaded.ipcnet_abi_version()}, this package was made for {ABI_VERSION}")
        for kind, size in SIZES.items():
            assert ctypes.sizeof(kind) == size, kind
        return path, loaded
    raise IpcnetError(Status.NOT_IMPLEMENTED, "libipcnet.so was not found: " + "; ".join(tried))


_library: Optional[Library] = None


def library() -> Library:
    """Loads it at the first use."""
    global _library
    if _library is None:
        _library = Library()
    return _library
