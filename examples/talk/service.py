"""Adds two numbers for whoever asks. The other end: caller.py, or the one in another language."""
import contextlib

import ipcnet

with contextlib.suppress(KeyboardInterrupt), ipcnet.connect(name="adder", reconnect=True) as client:

    @client.offer("talk/add")
    def add(body):
        return {"sum": body["a"] + body["b"]}

    client.run()
