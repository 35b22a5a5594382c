"""The asyncio client, against a gateway."""

import asyncio
import gc
import unittest

import ipcnet
from ipcnet import aio

from .gateway import PATIENCE, SOCKET, needs_gateway, open_descriptors


def connect(name="aio"):
    return aio.connect(SOCKET, name=name, timeout=PATIENCE)


@needs_gateway
class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def test_handlers_of_every_kind_answer(self):
        async def coroutine(body):
            await asyncio.sleep(0)
            return body + 1

        async def items(body, call):
            for i in range(body):
                yield i

        def plain_items(body):
            yield from range(body)

        async with connect("server") as server, connect("caller") as client:
            await server.offer("aio/function", lambda body: body * 2)
            await server.offer("aio/coroutine", coroutine)
            await server.offer("aio/items", items)
            await server.offer("aio/plainItems", plain_items)
            self.assertEqual(await client.request("aio/function", 21), 42)
            self.assertEqual(await client.request("aio/coroutine", 1), 2)
            self.assertEqual([item async for item in client.stream("aio/items", 200, credit=5)], list(range(200)))
            self.assertEqual([item async for item in client.stream("aio/plainItems", 20, credit=3)], list(range(20)))
            self.assertEqual((await client.find("services", "aio/function"))[0]["service"], "aio/function")
            await client.announce(version="1")
            await client.ping()
            self.assertTrue(client.gateway["robot"])

    async def test_many_requests_at_once(self):
        async with connect("server") as server, connect("caller") as client:
            release = asyncio.Event()

            async def wait(body):
                await release.wait()
                return body

            await server.offer("aio/wait", wait, capacity=32)
            running = [asyncio.ensure_future(client.request("aio/wait", i, timeout=PATIENCE)) for i in range(32)]
            self.assertEqual(await client.topics("aio/nothing"), [], "other calls go on meanwhile")
            release.set()
            self.assertEqual(await asyncio.gather(*running), list(range(32)))

    async def test_refusals(self):
        async def crash(_):
            raise KeyError("x")

        async with connect("server") as server, connect("caller") as client:
            await server.offer("aio/crash", crash)
            for service, status in (("aio/crash", 300), ("aio/nobody", 203)):
                with self.assertRaises(ipcnet.IpcnetError) as caught:
                    await client.request(service)
                self.assertEqual(caught.exception.status, status)

    async def test_a_cancelled_request_cancels_the_handler(self):
        async with connect("server") as server, connect("caller") as client:
            began, ended = asyncio.Event(), asyncio.Event()

            async def endless(_):
                began.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.set()

            await server.offer("aio/endless", endless)
            request = asyncio.ensure_future(client.request("aio/endless", timeout=PATIENCE))
            await asyncio.wait_for(began.wait(), PATIENCE)
            request.cancel()
            await asyncio.wait_for(ended.wait(), PATIENCE)
            with self.assertRaises(asyncio.CancelledError):
                await request

    async def test_leaving_a_stream_cancels_its_handler(self):
        async with connect("server") as server, connect("caller") as client:
            ended = asyncio.Event()

            async def endless(_):
                try:
                    while True:
                        yield 1
                finally:
                    ended.set()

            await server.offer("aio/endlessItems", endless)
            stream = client.stream("aio/endlessItems", timeout=PATIENCE)
            self.assertEqual(await stream.__anext__(), 1)
            await stream.aclose()
            await asyncio.wait_for(ended.wait(), PATIENCE)

    async def test_closing_ends_what_waits_and_leaves_nothing_open(self):
        gc.collect()
        before = open_descriptors()
        client = await connect()
        subscription = await client.subscribe("aio/silence")
        waiting = [asyncio.ensure_future(work) for work in (subscription.next(), client.request("aio/never", timeout=PATIENCE))]
        server = await connect()
        await server.offer("aio/never", lambda _: asyncio.Event().wait())
        iterating = asyncio.ensure_future(self.collect(subscription))
        await asyncio.sleep(0)
        await client.close()
        for result in await asyncio.gather(*waiting, return_exceptions=True):
            self.assertIsInstance(result, ipcnet.IpcnetError)
        self.assertEqual(await iterating, [])
        with self.assertRaises(ipcnet.IpcnetError):
            await client.ping()
        await server.close()
        del client, subscription, server, waiting, iterating
        gc.collect()
        self.assertLessEqual(open_descriptors(), before)

    async def collect(self, subscription):
        return [message async for message in subscription]


if __name__ == "__main__":
    unittest.main()
