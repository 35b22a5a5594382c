"""Adds two numbers for whoever asks. The other end: caller.py, or the one in another language."""
import ipcnet

with ipcnet.connect(name="adder") as client:

    @client.offer("talk/add")
    def add(body):
        return {"sum": body["a"] + body["b"]}

    client.run()
