"""Topics through lanes, against a gateway: what is published arrives, as it was, without copies where that is promised, and nothing outlives its memory."""

import asyncio
import gc
import os
import threading
import unittest
import weakref

import ipcnet
from ipcnet import aio, media
from ipcnet.media import PointField, Points, Tensor, Video

from .gateway import PATIENCE, SOCKET, connect, eventually, needs_gateway, open_descriptors
from .vectors import needs

_names = iter(range(1_000_000))


def topic_name():
    """A topic of this test alone."""
    return f"py/{os.getpid()}/{next(_names)}"


@needs_gateway
class Topics(unittest.TestCase):
    def setUp(self):
        self.writing, self.reading = connect("writing"), connect("reading")
        self.addCleanup(self.writing.close)
        self.addCleanup(self.reading.close)

    def pair(self, encoding=None, policy="queue", queue=256, name=None, **options):
        """A writer and a subscription that it knows of."""
        name = name or topic_name()
        writer = self.writing.advertise(name, encoding, queue=queue, policy="lossless" if policy == "lossless" else "queue", **options)
        subscription = self.reading.subscribe(name, policy=policy, queue=queue)
        eventually("the writer has its reader", lambda: writer.readers == 1, self.turn)
        return writer, subscription

    def turn(self):
        self.writing.poll(0.002)
        self.reading.poll(0.002)

    def test_values_of_each_encoding_arrive(self):
        for encoding, value in (("cbor", {"text": "ä", "list": [1, 2.5, None, b"x"]}), ("json", {"a": [1, "b"]}), ("bytes", b"\0\1\2")):
            writer, subscription = self.pair(encoding)
            self.assertTrue(writer.publish(value))
            message = subscription.next(PATIENCE)
            self.assertEqual(bytes(message.value) if encoding == "bytes" else message.value, value)
            self.assertEqual((message.topic, message.sequence, message.lost_before, message.quality), (writer.topic.name, 1, 0, "good"))

    def test_records_arrive_as_dicts(self):
        writer, subscription = self.pair(fields={"angle": {"type": "f64", "unit": "rad", "minimum": -3, "maximum": 3}, "mode": "u8", "count": "i32"})
        writer.publish({"angle": 1.5, "mode": 2, "count": -3})
        message = subscription.next(PATIENCE)
        self.assertEqual(message.value, {"angle": 1.5, "mode": 2, "count": -3})
        with self.assertRaises(ipcnet.IpcnetError):
            writer.publish({"angle": 4, "mode": 2, "count": 1})

    def test_order_and_gaps_are_exact(self):
        writer, subscription = self.pair("bytes", queue=16)
        for i in range(100):
            writer.publish(i.to_bytes(4, "little"), more=i < 99)
        got = self.drain_all(subscription)
        self.assertEqual([m.sequence for m in got], list(range(got[0].sequence, 101)))
        self.assertEqual(got[0].lost_before, got[0].sequence - 1)
        self.assertEqual([int.from_bytes(m.bytes, "little") for m in got], [m.sequence - 1 for m in got])

    def drain_all(self, subscription):
        got = []
        eventually("all has come", lambda: (got.extend(subscription.drain()) or True) and got and got[-1].sequence >= 100, self.turn)
        return got

    def test_a_lossless_reader_loses_nothing_and_the_writer_is_told(self):
        writer, subscription = self.pair("bytes", policy="lossless", queue=16, deadline=PATIENCE)
        sent, got, refused = 0, [], 0
        while sent < 500:
            if writer.publish(sent.to_bytes(4, "little")):
                sent += 1
            else:
                refused += 1
                got.extend(subscription.drain())
                writer.space(0.01)
        eventually("all has come", lambda: (got.extend(subscription.drain()) or True) and len(got) == 500, self.turn)
        self.assertEqual([int.from_bytes(m.bytes, "little") for m in got], list(range(500)))
        self.assertGreater(refused, 0)
        self.assertEqual(subscription.stats()["lost"], 0)

    def test_a_program_that_only_publishes_gets_its_readers(self):
        name = topic_name()
        writer = self.writing.advertise(name, "cbor")
        subscription = self.reading.subscribe(name)
        message = eventually("a message", lambda: writer.publish("hello") and subscription.next(0.03), lambda: None)
        self.assertEqual(message.value, "hello")

    def test_callbacks_run_in_poll_and_in_the_waits_of_others(self):
        writer, _ = self.pair("cbor")
        seen, more = [], topic_name()
        subscription = self.reading.subscribe(writer.topic.name, seen.append, policy="queue")
        eventually("two readers", lambda: writer.readers == 2, self.turn)
        writer.publish(1)
        eventually("the callback ran", lambda: [m.value for m in seen] == [1], self.turn)
        silent = self.reading.subscribe(more)
        writer.publish(2)
        eventually("it runs while another subscription waits", lambda: [m.value for m in seen] == [1, 2], lambda: silent.next(0.005))
        subscription.close()
        writer.publish(3)
        for _ in range(5):
            self.turn()
        self.assertEqual(len(seen), 2)

    def test_lineage_and_what_travels_with_a_message(self):
        writer, subscription = self.pair("cbor")
        writer.publish("cause")
        cause = subscription.next(PATIENCE)
        writer.publish("effect", lineage=[cause], ttl=1.5, quality="stale", key_frame=True, kind=7)
        effect = subscription.next(PATIENCE)
        self.assertEqual(effect.lineage, [ipcnet.Lineage(ipcnet.text_id(cause.origin), ipcnet.text_id(cause.topic), 1)])
        self.assertEqual((effect.ttl_ms, effect.quality, effect.key_frame, effect.kind, effect.value), (1500, "stale", True, 7, "effect"))
        self.assertGreaterEqual(effect.time_ns, cause.time_ns)

    def test_a_small_message_that_is_kept_keeps_little(self):
        writer, subscription = self.pair("bytes")
        writer.publish(b"small")
        message = subscription.next(PATIENCE)
        self.assertLess(len(message.bytes.obj), 1000)

    def test_large_messages_need_no_setting_on_the_readers_side(self):
        writer, subscription = self.pair("bytes", queue=4, payload_bytes_max=3 << 20)
        for size in (3 << 20, 10, 1 << 20, 3 << 20):
            data = os.urandom(16) * (size // 16) + b"x" * (size % 16)
            writer.publish(data)
            self.assertEqual(bytes(subscription.next(PATIENCE).bytes), data)
        with self.assertRaises(ipcnet.IpcnetError) as caught:
            writer.publish(bytes((3 << 20) * 4))
        self.assertEqual(caught.exception.status, 208)

    def test_memory_of_large_messages_is_used_again_only_when_nobody_looks(self):
        writer, subscription = self.pair("bytes", queue=4, payload_bytes_max=1 << 20)
        kept, memories = [], set()
        for i in range(8):
            writer.publish(bytes([i]) * (1 << 20))
            message = subscription.next(PATIENCE)
            memories.add(id(message.bytes.obj))
            if i % 4 == 1:
                kept.append((i, message.bytes))
            del message
        for i, view in kept:
            self.assertEqual((view[0], view[-1], len(view)), (i, i, 1 << 20))
        self.assertLess(len(memories), 6, "memory that nobody looks at any more is used again")

    def test_a_loan_is_filled_in_place_or_given_up(self):
        writer, subscription = self.pair("bytes", payload_bytes_max=1 << 16)
        with writer.loan(5000) as loan:
            loan.buffer[:3] = b"abc"
            loan.payload_bytes = 3
        with self.assertRaises(ValueError):
            with writer.loan(10):
                raise ValueError
        writer.publish(b"next")
        self.assertEqual([bytes(subscription.next(PATIENCE).bytes) for _ in range(2)], [b"abc", b"next"])

    def test_a_lease_shows_the_message_where_it_lies_and_tells_when_it_was_overwritten(self):
        writer, subscription = self.pair("bytes", queue=4, payload_bytes_max=256)
        writer.publish(b"first")
        message = eventually("the lease has it", lambda: self.leased(subscription), self.turn)
        self.assertEqual(message, b"first")
        writer.publish(b"second")
        self.reading.poll(0.01)
        with self.assertRaises(ipcnet.IpcnetError) as caught:
            with subscription.lease() as leased:
                self.assertEqual(bytes(leased.bytes), b"second")
                for _ in range(20):
                    writer.publish(b"other!")
        self.assertEqual(caught.exception.status, 211)

    def leased(self, subscription):
        with subscription.lease() as message:
            return None if message is None else bytes(message.bytes)

    def test_a_view_of_a_lease_outlives_subscription_and_client(self):
        writer, subscription = self.pair("bytes", payload_bytes_max=256)
        writer.publish(b"stays")
        kept = []

        def look():
            with subscription.lease() as message:
                if message is not None:
                    kept.append(message.bytes)
            return kept

        eventually("the lease has it", look, self.turn)
        subscription.close()
        self.reading.close()
        del subscription
        gc.collect()
        self.assertEqual(bytes(kept[0]), b"stays")

    def test_tensors_pictures_and_points_arrive_without_a_copy_of_the_payload(self):
        for encoding, value in (("tensor", Tensor("float32", (2, 3), bytes(range(24)))), ("video", Video("RGB3", 4, 2, bytes(24), pts_ns=5)), ("video", Video("H264", 0, 0, b"\0\0\0\1", encoded=True, key_frame=True)),
                                ("points", Points([PointField("x", "f32", 0)], 4, bytes(8))), ("audio", media.Audio("s16", 2, 48000, bytes(8))), ("haptic", media.Haptic("force", 2, bytes(8))), ("file", media.File("a.txt", b"abc", "text/plain"))):
            writer, subscription = self.pair(encoding)
            writer.publish(value)
            message = subscription.next(PATIENCE)
            self.assertEqual(media.encode(message.value), media.encode(value), encoding)
            data = message.value.content if encoding == "file" else message.value.data
            self.assertIs(data.obj, message.bytes.obj, "a view of the same memory")
            with self.assertRaises(ipcnet.IpcnetError):
                writer.publish(media.Haptic("torque", 1, bytes(4)) if encoding != "haptic" else Tensor("uint8", (1,), b"x"))

    def test_a_schema_that_differs_is_refused(self):
        name = topic_name()
        self.writing.advertise(name, "tensor", constraints={"dtype": "float32"})
        with self.assertRaises(ipcnet.IpcnetError) as caught:
            self.reading.advertise(name, "tensor", constraints={"dtype": "uint8"})
        self.assertEqual(caught.exception.status, 206)

    def test_the_last_messages_can_be_asked_for(self):
        name = topic_name()
        writer = self.writing.advertise(name, "cbor", queue=16)
        for i in range(5):
            writer.publish(i)
        self.assertEqual(self.reading.query(name).value, 4)
        self.assertEqual([m.value for m in self.reading.history(name, 3)], [2, 3, 4])
        with self.assertRaises(ipcnet.IpcnetError):
            self.reading.query("py/no/such/topic")

    def test_topics_are_described(self):
        name = topic_name()
        self.writing.advertise(name, fields={"a": "u16"})
        topic = self.reading.topic(name)
        self.assertEqual((topic.name, topic.encoding, topic.layout.fields[0].name), (name, "record", "a"))
        self.assertIn(name, [t.name for t in self.reading.topics("py/#")])

    def test_nothing_is_left_open(self):
        gc.collect()
        before = open_descriptors()
        for _ in range(3):
            with connect() as writing, connect() as reading:
                writer = writing.advertise(topic_name(), "cbor")
                subscription = reading.subscribe(writer.topic.name)
                eventually("a reader", lambda: writer.readers == 1, lambda: (writing.poll(0.002), reading.poll(0.002)))
                writer.publish(1)
                subscription.next(PATIENCE)
        del writer, subscription
        gc.collect()
        self.assertLessEqual(open_descriptors(), before)

    def test_threads_publish_and_read_with_one_client_each(self):
        writer, subscription = self.pair("bytes", policy="lossless", queue=64, deadline=PATIENCE)
        got = []

        def read():
            while len(got) < 800:
                message = subscription.next(PATIENCE)
                if message is None:
                    return
                got.append(bytes(message.bytes))

        def write(number):
            for i in range(200):
                while not writer.publish(b"%d/%d" % (number, i)):
                    writer.space(0.05)

        threads = [threading.Thread(target=read), *(threading.Thread(target=write, args=(n,)) for n in range(4))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(4 * PATIENCE)
        for n in range(4):
            self.assertEqual([m for m in got if m.startswith(b"%d/" % n)], [b"%d/%d" % (n, i) for i in range(200)])

    @needs("numpy")
    def test_numpy_looks_at_the_message_and_keeps_it(self):
        import numpy

        writer, subscription = self.pair("tensor", payload_bytes_max=1 << 20)
        source = numpy.arange(30_000, dtype="<f4").reshape(100, 300)
        writer.publish(Tensor.from_numpy(source))
        message = subscription.next(PATIENCE)
        array = message.numpy()
        alive = weakref.ref(message)
        memory = message.bytes.obj
        self.assertTrue((array == source).all())
        self.assertTrue(numpy.shares_memory(array, numpy.frombuffer(memory, "u1")))
        self.assertEqual(array.ctypes.data % 64, 0)
        del message
        gc.collect()
        self.assertIsNone(alive(), "the message is gone, its memory is not")
        for _ in range(20):
            writer.publish(Tensor.from_numpy(source * 0))
            subscription.next(PATIENCE)
        self.assertTrue((array == source).all())
        frames, pictures = self.pair("video", payload_bytes_max=1 << 20)
        pixels = numpy.random.default_rng(1).integers(0, 255, (48, 64, 3), "u1")
        frames.publish(Video.from_numpy(pixels))
        self.assertTrue((pictures.next(PATIENCE).numpy() == pixels).all())
        records, seen = self.pair(fields={"angle": "f64", "count": "i32"})
        records.publish({"angle": 0.5, "count": 9})
        record = seen.next(PATIENCE).numpy()
        self.assertEqual((record["angle"], record["count"]), (0.5, 9))

    @needs("torch")
    def test_torch_tensors_travel(self):
        import torch

        writer, subscription = self.pair("tensor", payload_bytes_max=1 << 20)
        source = torch.arange(1000, dtype=torch.bfloat16).reshape(10, 100)
        writer.publish(Tensor.from_torch(source))
        self.assertTrue(torch.equal(subscription.next(PATIENCE).value.to_torch(), source))

    @needs("tensorflow")
    def test_tensorflow_tensors_travel(self):
        import tensorflow

        writer, subscription = self.pair("tensor", payload_bytes_max=1 << 20)
        source = tensorflow.reshape(tensorflow.range(1000, dtype=tensorflow.float32), (10, 100))
        writer.publish(Tensor.from_tensorflow(source))
        self.assertTrue(bool(tensorflow.reduce_all(subscription.next(PATIENCE).value.to_tensorflow() == source)))


@needs_gateway
class AsyncioTopics(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.writing = await aio.connect(SOCKET, name="writing", timeout=PATIENCE)
        self.reading = await aio.connect(SOCKET, name="reading", timeout=PATIENCE)

    async def asyncTearDown(self):
        await self.writing.close()
        await self.reading.close()

    async def until(self, what, condition):
        for _ in range(int(PATIENCE / 0.002)):
            if condition():
                return
            await asyncio.sleep(0.002)
        raise AssertionError(f"{what}: not within {PATIENCE} s")

    async def test_messages_come_by_iterating_and_by_callback(self):
        writer = await self.writing.advertise(topic_name(), "cbor", queue=256)
        subscription = await self.reading.subscribe(writer.topic.name, policy="queue", queue=256)
        seen, awaited = [], []

        async def slowly(message):
            await asyncio.sleep(0)
            awaited.append(message.value)

        await self.reading.subscribe(writer.topic.name, lambda message: seen.append(message.value), policy="queue", queue=256)
        await self.reading.subscribe(writer.topic.name, slowly, policy="queue", queue=256)
        await self.until("three readers", lambda: writer.readers == 3)
        for i in range(200):
            writer.publish(i)
        got = []
        async for message in subscription:
            got.append(message.value)
            if len(got) == 200:
                break
        self.assertEqual(got, list(range(200)))
        await self.until("the callbacks have all", lambda: len(seen) == 200 and len(awaited) == 200)
        self.assertEqual((seen, awaited), (got, got))

    async def test_a_lossless_reader_is_waited_for(self):
        writer = await self.writing.advertise(topic_name(), "cbor", queue=16, policy="lossless", deadline=PATIENCE)
        subscription = await self.reading.subscribe(writer.topic.name, policy="lossless")
        await self.until("a reader", lambda: writer.readers == 1)
        got = []

        async def read():
            async for message in subscription:
                got.append(message.value)
                if len(got) == 300:
                    return

        reading = asyncio.ensure_future(read())
        for i in range(300):
            while not writer.publish(i):
                await writer.space(0.05)
        await asyncio.wait_for(reading, PATIENCE)
        self.assertEqual(got, list(range(300)))

    async def test_a_deadline_loses_nothing(self):
        writer = await self.writing.advertise(topic_name(), "cbor")
        subscription = await self.reading.subscribe(writer.topic.name, policy="queue")
        await self.until("a reader", lambda: writer.readers == 1)
        with self.assertRaises(asyncio.TimeoutError):
            await asyncio.wait_for(subscription.next(), 0.01)
        writer.publish("later")
        self.assertEqual((await asyncio.wait_for(subscription.next(), PATIENCE)).value, "later")
        self.assertEqual((await self.reading.query(writer.topic.name)).value, "later")


if __name__ == "__main__":
    unittest.main()
