"""Tests against a gateway: its socket is in $IPCNET_TEST_SOCKET (hil-tests/pythonTalksToTheGateway.test.ts starts one and runs these)."""

import os
import threading
import time
import unittest

import ipcnet

SOCKET = os.environ.get("IPCNET_TEST_SOCKET")
needs_gateway = unittest.skipUnless(SOCKET, "no gateway: `npm test -- python` starts one")
#: Generous: the machine may be loaded.
PATIENCE = 30.0


def connect(name="test", **options):
    return ipcnet.connect(SOCKET, name=name, timeout=PATIENCE, **options)


def eventually(what, condition, turn=lambda: time.sleep(0.002)):
    deadline = time.monotonic() + PATIENCE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {PATIENCE} s")
        turn()


class Serving:
    """A client that serves in a thread of its own: ``with Serving() as client``."""

    def __enter__(self):
        self.client = connect("server")
        self._thread = threading.Thread(target=self._run, daemon=True)
        return self.client

    def start(self):
        self._thread.start()

    def _run(self):
        try:
            self.client.run()
        except ipcnet.IpcnetError as error:
            if error.status != 303:
                raise

    def __exit__(self, *_):
        if self._thread.is_alive():
            self.client.stop()
            self._thread.join(PATIENCE)
        self.client.close()


def open_descriptors():
    return len(os.listdir("/proc/self/fd"))
