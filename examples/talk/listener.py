"""Prints what anybody says. The other end: talker.py, or the one in another language."""
import contextlib

import ipcnet

with contextlib.suppress(KeyboardInterrupt), ipcnet.connect(name="listener", reconnect=True) as client:
    for message in client.subscribe("talk/hello", policy="queue"):
        print(message.sequence, message.value, f"{message.lost_before} lost" if message.lost_before else "", flush=True)
