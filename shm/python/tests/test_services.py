"""Services of the plain client, against a gateway."""

import gc
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

import ipcnet
from ipcnet import media

from .gateway import PATIENCE, SOCKET, Serving, connect, eventually, needs_gateway, open_descriptors

#: Enough that some meet every place where one could be lost.
INTERRUPTS = 300


@needs_gateway
class Services(unittest.TestCase):
    def setUp(self):
        self.serving = Serving()
        self.server = self.serving.__enter__()
        self.client = connect("caller")

    def tearDown(self):
        self.client.close()
        self.serving.__exit__()

    def start(self):
        self.serving.start()

    def test_a_value_comes_back(self):
        self.server.offer("py/add", lambda body: {"sum": body["a"] + body["b"]})
        self.start()
        self.assertEqual(self.client.request("py/add", {"a": 2, "b": 0.5}), {"sum": 2.5})

    def test_all_kinds_of_values_pass(self):
        self.server.offer("py/echo", lambda body: body)
        self.start()
        for value in (None, True, -1, 1 << 40, 1.5, "ä", b"\0\xff", [1, [2, {}]], {"k": None}):
            self.assertEqual(self.client.request("py/echo", value), value)

    def test_refusals_and_exceptions_reach_the_caller(self):
        def refuse(body):
            raise ipcnet.IpcnetError(ipcnet.Status.CONFLICT, "not now", {"again": 7})

        self.server.offer("py/refuse", refuse)
        self.server.offer("py/crash", lambda body: 1 // 0)
        self.server.offer("py/unspeakable", lambda body: object())
        self.start()
        for service, status, text in (("py/refuse", 205, "not now"), ("py/crash", 300, "ZeroDivisionError"), ("py/unspeakable", 209, "object has no form"), ("py/nobody", 203, "")):
            with self.assertRaises(ipcnet.IpcnetError) as caught:
                self.client.request(service, {})
            self.assertEqual(caught.exception.status, status)
            self.assertIn(text, caught.exception.text)
        with self.assertRaises(ipcnet.IpcnetError) as caught:
            self.client.request("py/refuse")
        self.assertEqual(caught.exception.details, {"again": 7})

    def test_the_handler_learns_who_calls(self):
        seen = []

        @self.server.offer("py/who")
        def who(body, call):
            seen.append((call.uid, call.pid, call.service, call.deadline_ns > time.monotonic_ns(), call.wants_stream))

        self.start()
        self.client.request("py/who")
        self.assertEqual(seen, [(os.getuid(), os.getpid(), "py/who", True, False)])

    def test_items_of_a_stream_come_in_order_and_no_more_than_was_asked_for(self):
        made = []

        @self.server.offer("py/count")
        def count(body):
            for i in range(body):
                made.append(i)
                yield i

        self.start()
        self.assertEqual(list(self.client.stream("py/count", 500, credit=7)), list(range(500)))
        made.clear()
        items = self.client.stream("py/count", 100_000, credit=4)
        self.assertEqual([next(items), next(items)], [0, 1])
        items.close()
        self.assertLess(len(made), 50)
        self.assertEqual(list(self.client.stream("py/count", 3)), [0, 1, 2], "a stream that was left is no hindrance")

    def test_a_caller_that_waits_too_long_is_told(self):
        @self.server.offer("py/slow", capacity=2)
        def slow(body, call):
            while call.cancelled is None:
                yield 1

        self.start()
        with self.assertRaises(ipcnet.IpcnetError) as caught:
            self.client.request("py/slow", timeout=0.3)
        self.assertIn(caught.exception.status, (204, 200, 209))

    def test_files_travel_as_sealed_descriptors_and_none_is_left_open(self):
        @self.server.offer("py/upper")
        def upper(body, call):
            file = media.decode("file", body)
            with call.take_fd() as fd:
                content = bytes(ipcnet.file_of(file, fd).content).upper()
            sealed = ipcnet.seal_bytes(content)
            return ipcnet.Reply(media.encode(ipcnet.File(file.name, None, file.type, len(content), hashlib.sha256(content).digest())), [sealed])

        self.start()
        content = os.urandom(1 << 20).hex().encode()
        before = None
        for _ in range(5):
            header, fds = self.file(content)
            reply = self.client.request_full("py/upper", header, fds=fds)
            with reply.descriptors[0] as descriptor:
                file = ipcnet.file_of(media.decode("file", reply.body), descriptor)
            self.assertEqual(bytes(file.content), content.upper())
            del file, reply, descriptor, fds
            gc.collect()
            before = before or open_descriptors()
        eventually("all descriptors are closed", lambda: open_descriptors() <= before)

    def file(self, content):
        return media.encode(ipcnet.File("a.txt", None, "text/plain", len(content), hashlib.sha256(content).digest())), [ipcnet.seal_bytes(content)]

    def test_a_descriptor_that_is_not_sealed_or_has_other_bytes_is_refused(self):
        header = media.decode("file", self.file(b"abc")[0])
        other = ipcnet.seal_bytes(b"abd")
        reading, writing = os.pipe()
        for fd, status in ((other, 307), (reading, 209)):
            with self.assertRaises(ipcnet.IpcnetError) as caught:
                ipcnet.file_of(header, fd)
            self.assertEqual(caught.exception.status, status)
        os.close(reading)
        os.close(writing)

    def test_many_threads_share_a_client(self):
        self.server.offer("py/square", lambda body: body * body, capacity=64)
        self.start()
        wrong = []

        def work(start):
            for i in range(start, start + 50):
                if self.client.request("py/square", i, timeout=PATIENCE) != i * i:
                    wrong.append(i)

        threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_a_thread_that_waits_lets_others_pass(self):
        self.server.offer("py/echo", lambda body: body)
        self.start()
        subscription = self.client.subscribe("py/silence")

        def wait():
            try:
                subscription.next(PATIENCE)
            except ipcnet.IpcnetError:
                self.assertEqual(self.finished, True)

        self.finished = False
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        # Each of these would take as long as the other's wait if it were not woken up.
        times = []
        for i in range(50):
            start = time.monotonic()
            self.client.request("py/echo", i, timeout=PATIENCE)
            times.append(time.monotonic() - start)
        self.assertLess(sorted(times)[25], PATIENCE / 6)
        self.finished = True
        self.client.close()
        waiting.join(PATIENCE)
        self.assertFalse(waiting.is_alive())

    def test_subscriptions_end_while_another_thread_waits(self):
        waiting = threading.Thread(target=lambda: self.quietly(lambda: self.client.run(PATIENCE)), daemon=True)
        waiting.start()
        times = []
        for _ in range(20):
            subscription = self.client.subscribe("py/silence")
            start = time.monotonic()
            subscription.close()
            times.append(time.monotonic() - start)
        self.assertLess(sorted(times)[10], PATIENCE / 6)
        self.client.stop()
        waiting.join(PATIENCE)
        self.assertFalse(waiting.is_alive())

    def quietly(self, work):
        try:
            work()
        except ipcnet.IpcnetError as error:
            self.assertEqual(error.status, 303)

    def test_what_is_announced_is_found(self):
        self.client.announce(version="1.2.3", description="a test")
        self.server.offer("py/found", lambda body: body, description="to be found")
        self.start()
        services = self.client.find("services", "py/#")
        self.assertEqual([entry["service"] for entry in services], ["py/found"])
        self.assertTrue(self.client.find("components"))

    def test_an_offer_that_is_closed_is_gone(self):
        offer = self.server.offer("py/gone", lambda body: body)
        self.start()
        self.assertEqual(self.client.request("py/gone", 1), 1)
        offer.close()
        eventually("nobody offers it", lambda: self.refused("py/gone") == 203)

    def refused(self, service):
        try:
            self.client.request(service)
        except ipcnet.IpcnetError as error:
            return error.status
        return None


@needs_gateway
class Processes(unittest.TestCase):
    def test_a_forked_child_is_told_and_harms_nobody(self):
        client = connect()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                client.ping()
            except ipcnet.IpcnetError as error:
                client.close()
                del client
                gc.collect()
                code = 0 if error.status == 207 and "fork" in error.text else 2
            os._exit(code)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        client.ping()
        client.close()

    def test_ctrl_c_ends_a_wait(self):
        for wait in ("client.run()", "next(client.subscribe('py/silence'))", "client.poll(None) or client.run()", "client.request('py/never', timeout=60)", "list(client.stream('py/never', timeout=60))"):
            script = f"""
import ipcnet, sys
client = ipcnet.connect({SOCKET!r}, timeout=30)
server = ipcnet.connect({SOCKET!r}, timeout=30)
server.offer('py/never', lambda body: None)
try:
    print('ready', flush=True)
    {wait}
except KeyboardInterrupt:
    print('interrupted', flush=True)
"""
            with self.subTest(wait):
                with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
                    self.assertEqual(process.stdout.readline(), "ready\n")
                    process.send_signal(signal.SIGINT)
                    self.assertEqual(process.communicate(timeout=PATIENCE)[0], "interrupted\n")
                    self.assertEqual(process.returncode, 0)

    def test_no_ctrl_c_is_lost_among_callbacks(self):
        # Each signal is sent while messages pour in, so that many meet C on its way into a callback.
        script = f"""
import ipcnet
armed = False

def message(_):
    global armed
    if armed:
        armed = False
        print('armed', flush=True)

client = ipcnet.connect({SOCKET!r}, timeout=30)
client.subscribe('py/flood', message, policy='latest')
print('ready', flush=True)
for i in range({INTERRUPTS}):
    armed = True
    try:
        client.run()
    except KeyboardInterrupt:
        pass
print('done', flush=True)
"""
        with connect("flood") as client, subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            self.assertEqual(process.stdout.readline(), "ready\n")
            writer = client.advertise("py/flood", "bytes", queue=16)
            lines = []
            reader = threading.Thread(target=lambda: lines.extend(self._answer(process)), daemon=True)
            reader.start()
            deadline = time.monotonic() + PATIENCE
            while reader.is_alive() and time.monotonic() < deadline:
                writer.publish(b"x")
            if reader.is_alive():
                process.kill()
            reader.join(PATIENCE)
            self.assertEqual(lines, ["armed\n"] * INTERRUPTS + ["done\n"])
            self.assertEqual(process.communicate(timeout=PATIENCE), ("", ""))

    @staticmethod
    def _answer(process):
        for line in process.stdout:
            yield line
            if line == "armed\n":
                process.send_signal(signal.SIGINT)
            else:
                return

    def test_closed_clients_say_so_and_leave_nothing_open(self):
        gc.collect()
        before = open_descriptors()
        client = connect()
        subscription = client.subscribe("py/#")
        client.close()
        client.close()
        for call in (client.ping, subscription.drain, lambda: client.request("py/x"), lambda: client.gateway):
            with self.assertRaises(ipcnet.IpcnetError) as caught:
                call()
            self.assertEqual(caught.exception.status, 303)
        self.assertRaises(StopIteration, next, subscription)
        del client, subscription
        gc.collect()
        self.assertLessEqual(open_descriptors(), before)

    def test_nobody_listens(self):
        with self.assertRaises(ipcnet.IpcnetError) as caught:
            ipcnet.connect("/nonexistent/ipcnet.sock")
        self.assertEqual(caught.exception.status, 303)


if __name__ == "__main__":
    unittest.main()
