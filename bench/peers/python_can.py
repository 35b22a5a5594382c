"""What Debian offers for the same job: python-can's messages, decoded by cantools. Prints one JSON object.

Usage: python_can.py DBC CANDUMP_LOG SECONDS
"""
import json
import sys
import time

import can

dbc, log, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])


def per_frame(operation, frames):
    """CPU nanoseconds of `operation` per frame: the median of the rounds that fit into the time."""
    rounds = []
    end = time.monotonic() + seconds
    while not rounds or time.monotonic() < end:
        before = time.process_time()
        for frame in frames:
            operation(frame)
        rounds.append((time.process_time() - before) / len(frames) * 1e9)
    return sorted(rounds)[len(rounds) // 2]


frames = [message for message in can.CanutilsLogReader(log)]
result = {"python": sys.version.split()[0], "can": can.__version__, "frames": len(frames)}
# What a bus hands up for each frame: an object with its own bytes.
result["messageNs"] = per_frame(lambda m: can.Message(timestamp=m.timestamp, arbitration_id=m.arbitration_id, is_extended_id=m.is_extended_id, data=bytes(m.data)), frames)
try:
    import cantools
    database = cantools.database.load_file(dbc, strict=False)
    result["cantools"] = cantools.__version__
    result["decodeNs"] = per_frame(lambda m: database.decode_message(m.arbitration_id, m.data), frames)
except ImportError:
    pass
print(json.dumps(result))
