"""Asks for a sum. The other end: service.py, or the one in another language."""
import sys

import ipcnet

a, b = (float(word) for word in sys.argv[1:3]) if len(sys.argv) > 2 else (2.0, 3.0)
with ipcnet.connect(name="caller") as client:
    print(client.request("talk/add", {"a": a, "b": b})["sum"])
