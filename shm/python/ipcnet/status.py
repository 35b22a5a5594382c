"""IPCNet status codes, and the error that carries one."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Optional


class Status(IntEnum):
    """The hundreds say who has to act: 1xx nobody (it worked), 2xx the caller, 3xx the gateway or something behind it; from 1000 on they belong to applications."""

    OK = 100
    CREATED = 101
    ACCEPTED = 102
    NO_CONTENT = 103
    PARTIAL_CONTENT = 104
    NOT_MODIFIED = 105
    BAD_REQUEST = 200
    UNAUTHORIZED = 201
    FORBIDDEN = 202
    NOT_FOUND = 203
    REQUEST_TIMEOUT = 204
    CONFLICT = 205
    UPGRADE_REQUIRED = 206
    PRECONDITION_FAILED = 207
    PAYLOAD_TOO_LARGE = 208
    UNPROCESSABLE_CONTENT = 209
    TOO_MANY_REQUESTS = 210
    GONE = 211
    INTERNAL_ERROR = 300
    NOT_IMPLEMENTED = 301
    BAD_GATEWAY = 302
    SERVICE_UNAVAILABLE = 303
    GATEWAY_TIMEOUT = 304
    INSUFFICIENT_STORAGE = 305
    LOOP_DETECTED = 306
    INTEGRITY_FAILURE = 307
    VERSION_NOT_SUPPORTED = 308
    NETWORK_AUTHENTICATION_REQUIRED = 309


def status_text(status: int) -> str:
    """The code's name in words; "application status" from 1000 up."""
    try:
        return Status(status).name.lower().replace("_", " ")
    except ValueError:
        return "application status" if status >= 1000 else "unknown status"


class IpcnetError(Exception):
    """A refusal or failure. ``status`` is an IPCNet code, ``text`` a sentence, ``details`` what a service answered with it (None: nothing)."""

    def __init__(self, status: int, text: str = "", details: Optional[Any] = None) -> None:
        super().__init__(status, text, details)
        self.status = int(status)
        self.text = text
        self.details = details

    def __str__(self) -> str:
        return f"{self.status} {status_text(self.status)}" + (f": {self.text}" if self.text else "")
