#!/usr/bin/python3
"""The rig's hands in the machine under test: runs scripts for the host and tells what they write and how they end.

    agent.py PORT_NAME   in a virtual machine: a virtio-serial port of that name
    agent.py -           on a bench, through ssh: standard input and output

One JSON object a line, both ways; docs in ../agentProtocol.ts. Only the standard library, Python 3.9 or newer.
Every script runs in a session of its own, so that its end is the end of all that it started.
"""
import codecs
import glob
import json
import os
import signal
import subprocess
import sys
import threading
import time

PORT_PATIENCE_S = 20.0
READ_BYTES = 65536


def port(name):
    """The descriptor of the port; its device appears some time after the driver was loaded."""
    end = time.monotonic() + PORT_PATIENCE_S
    while time.monotonic() < end:
        for path in glob.glob("/sys/class/virtio-ports/*/name"):
            with open(path, encoding="ascii") as file:
                if file.read().strip() == name:
                    device = "/dev/" + path.split("/")[-2]
                    if os.path.exists(device):
                        return os.open(device, os.O_RDWR)
        time.sleep(0.02)
    raise SystemExit(f"no port {name}")


class Agent:
    def __init__(self, source, sink):
        self.source = source
        self.sink = sink
        self.lock = threading.Lock()
        self.running = {}

    def say(self, **message):
        message["at"] = round(time.time(), 6)
        data = (json.dumps(message) + "\n").encode()
        with self.lock:
            while data:
                data = data[os.write(self.sink, data):]

    def hello(self):
        with open("/proc/uptime", encoding="ascii") as uptime, open("/proc/sys/kernel/random/boot_id", encoding="ascii") as boot:
            # The line before: whatever a predecessor left half-written ends here.
            os.write(self.sink, b"\n")
            self.say(hello=1, uptimeS=float(uptime.read().split()[0]), kernel=os.uname().release, processor=os.uname().machine, bootId=boot.read().strip())

    def run(self, number, script, timeout_ms, has_input):
        child = subprocess.Popen(["/bin/bash", "-c", script], stdin=subprocess.PIPE if has_input else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        self.running[number] = child
        state = {"timed_out": False}

        def late():
            state["timed_out"] = True
            self.kill(child, signal.SIGKILL)

        def pump(stream, key):
            # A chunk may end inside a character.
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            while True:
                data = os.read(stream.fileno(), READ_BYTES)
                text = decoder.decode(data, not data)
                if text:
                    self.say(**{"id": number, key: text})
                if not data:
                    return

        def wait():
            timer = threading.Timer(timeout_ms / 1000, late) if timeout_ms else None
            if timer:
                timer.daemon = True
                timer.start()
            pumps = [threading.Thread(target=pump, args=each, daemon=True) for each in ((child.stdout, "out"), (child.stderr, "err"))]
            for each in pumps:
                each.start()
            code = child.wait()
            # What it left running in its session may hold the pipes: it ends with it.
            self.kill(child, signal.SIGKILL)
            for each in pumps:
                each.join()
            if timer:
                timer.cancel()
            self.running.pop(number, None)
            self.say(id=number, code=code if code >= 0 else None, signal=signal.Signals(-code).name if code < 0 else None, timedOut=state["timed_out"])

        threading.Thread(target=wait, daemon=True).start()

    @staticmethod
    def kill(child, number):
        try:
            os.killpg(child.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # it has ended

    def obey(self, message):
        what, number = message["do"], message.get("id")
        if what == "run":
            self.run(number, message["script"], message.get("timeoutMs"), message.get("input", False))
            return
        child = self.running.get(number)
        if child is None:
            return  # ended meanwhile
        if what == "signal":
            self.kill(child, signal.Signals[message["signal"]])
        elif what == "input":
            try:
                child.stdin.write(message["text"].encode())
                child.stdin.flush()
            except (BrokenPipeError, ValueError):
                pass  # it has closed its input; that it ended is told
        elif what == "close":
            try:
                child.stdin.close()
            except BrokenPipeError:
                pass

    def serve(self, ends_with_input):
        self.hello()
        rest = b""
        while True:
            data = os.read(self.source, READ_BYTES)
            if not data:
                if ends_with_input:
                    break
                time.sleep(0.05)  # the host is not connected
                continue
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if not line.strip():
                    continue
                message = json.loads(line)
                if message["do"] == "quit":
                    ends_with_input = None
                    break
                try:
                    self.obey(message)
                except Exception as error:  # whatever it is, the host learns it
                    self.say(id=message.get("id"), trouble=f"{type(error).__name__}: {error}")
            if ends_with_input is None:
                break
        for child in list(self.running.values()):
            self.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    if sys.argv[1] == "-":
        Agent(0, 1).serve(True)
    else:
        descriptor = port(sys.argv[1])
        Agent(descriptor, descriptor).serve(False)
