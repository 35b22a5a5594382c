#!/usr/bin/python3
"""The other node of a CAN bus, and no code of ours in it: Python's own CAN sockets.

    peer.py INTERFACE
Standard input: "s ID#DATA" sends (waiting for room), "y N" is answered by "y N" when everything that had arrived was told.
Standard output: "r FRAME" received, "e FRAME" an own frame that the bus has taken, "x FRAME" an error report. Frames as in candump's log.
"""
import errno
import os
import select
import socket
import struct
import sys
import time

CLASSIC = struct.Struct("=IB3x8s")
FD = struct.Struct("=IBB2x64s")
EFF, RTR, ERR = 0x80000000, 0x40000000, 0x20000000
FDF = 4
MSG_CONFIRM = 0x800
CAN_RAW_ERR_FILTER = 2  # linux/can/raw.h; Python has no name for it


def text_of(data):
    fd = len(data) == FD.size
    if fd:
        can_id, length, flags, payload = FD.unpack(data)
    else:
        can_id, length, payload = CLASSIC.unpack(data)
    number = f"{can_id & 0x1FFFFFFF:08X}" if can_id & EFF else f"{(can_id & 0x1FFFFFFF) | ERR:08X}" if can_id & ERR else f"{can_id & 0x7FF:03X}"
    if fd:
        return f"{number}##{flags & 3:X}{payload[:length].hex().upper()}"
    return f"{number}#R{length or ''}" if can_id & RTR else f"{number}#{payload[:length].hex().upper()}"


def frame_of(text):
    number, _, rest = text.partition("#")
    can_id = int(number, 16) | (EFF if len(number) == 8 else 0)
    if rest.startswith("#"):
        data = bytes.fromhex(rest[2:])
        return FD.pack(can_id, len(data), int(rest[1], 16) | FDF, data)
    if rest.startswith("R"):
        return CLASSIC.pack(can_id | RTR, int(rest[1:] or 0), b"")
    data = bytes.fromhex(rest)
    return CLASSIC.pack(can_id, len(data), data)


def send(bus, frame):
    end = time.monotonic() + 60
    while True:
        try:
            bus.send(frame)
            return
        except OSError as error:
            if error.errno not in (errno.ENOBUFS, errno.EAGAIN, errno.ENETDOWN) or time.monotonic() > end:
                raise
            time.sleep(0.002)


def drain(bus):
    while True:
        try:
            data, _, flags, _ = bus.recvmsg(FD.size)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.ENETDOWN:
                continue
            raise
        text = text_of(data)
        kind = "x" if struct.unpack_from("=I", data)[0] & ERR else "e" if flags & MSG_CONFIRM else "r"
        sys.stdout.write(f"{kind} {text}\n")


def main():
    bus = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    bus.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    bus.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
    bus.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_RECV_OWN_MSGS, 1)
    bus.setsockopt(socket.SOL_CAN_RAW, CAN_RAW_ERR_FILTER, 0x1FFFFFFF)
    bus.bind((sys.argv[1],))
    bus.setblocking(False)
    sys.stdout.write("ready\n")
    rest = b""
    while True:
        sys.stdout.flush()
        ready, _, _ = select.select([bus, 0], [], [])
        if bus in ready:
            drain(bus)
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                what, _, word = line.decode().partition(" ")
                if what == "s":
                    send(bus, frame_of(word))
                else:
                    drain(bus)
                    sys.stdout.write(f"y {word}\n")


main()
