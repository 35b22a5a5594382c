"""Says hello twice a second. The other end: listener.py, or the one in another language."""
import contextlib
import time

import ipcnet

with contextlib.suppress(KeyboardInterrupt), ipcnet.connect(name="talker", reconnect=True) as client, client.advertise("talk/hello", "cbor") as hello:
    for count in range(1, 1_000_000):
        hello.publish({"text": "hello from Python", "count": count})
        time.sleep(0.5)
