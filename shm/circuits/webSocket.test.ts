/** The contract over WebSocket, and whom the server turns away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebSocket } from "ws";
import { IpcnetError, Status } from "../../schemas/status.ts";
import { testTransportContract } from "./contract.ts";
import type { FrameTransport } from "./transport.ts";
import { connectWebSocket, serveWebSockets } from "./webSocket.ts";

testTransportContract("WebSocket", async () => {
  const accepted: ((transport: FrameTransport) => void)[] = [];
  const waiting = new Promise<FrameTransport>((resolve) => void accepted.push(resolve));
  const server = await serveWebSockets({ port: 0 }, (transport) => accepted[0]!(transport));
  const a = await connectWebSocket(`ws://127.0.0.1:${server.port}`);
  return { a, b: await waiting, cut: () => void server.close(), stop: () => server.close() };
});

/** The HTTP status of a refused connection, 101 for one that was taken. */
function attempt(port: number, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, "ipcnet.circuits.1", { headers });
    socket.on("open", () => {
      socket.terminate();
      resolve(101);
    });
    socket.on("unexpected-response", (_, response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    socket.on("error", () => undefined); // told by the response
  });
}

test("web pages that were not named, re-bound names and too many connections are refused; other machines need leave", async () => {
  let taken = 0;
  const server = await serveWebSockets({ port: 0, origins: ["http://localhost:8080"], connectionsMax: 1 }, () => void (taken += 1));
  try {
    assert.equal(await attempt(server.port, { Origin: "https://evil.example" }), 403);
    assert.equal(await attempt(server.port, { Origin: "null" }), 403);
    assert.equal(await attempt(server.port, { Host: "evil.example" }), 403);
    assert.equal(await attempt(server.port, { Host: "127.0.0.1.evil.example:80" }), 403);
    assert.equal(taken, 0);
    assert.equal(await attempt(server.port, { Origin: "http://localhost:8080", Host: "localhost" }), 101);
    const held = await connectWebSocket(`ws://127.0.0.1:${server.port}`).catch((error: unknown) => error as IpcnetError);
    assert.ok("send" in held || held.status === Status.badGateway);
    if ("send" in held) assert.equal(await attempt(server.port, {}), 503);
    assert.deepEqual([server.refused.origin, server.refused.host], [2, 2]);
  } finally {
    await server.close();
  }
  await assert.rejects(serveWebSockets({ port: 0, host: "0.0.0.0" }, () => undefined), (error: unknown) => error instanceof IpcnetError && error.status === Status.forbidden);
});

test("a refusal to connect is an error that says why", async () => {
  const server = await serveWebSockets({ port: 0 }, () => undefined);
  const { port } = server;
  await server.close();
  await assert.rejects(connectWebSocket(`ws://127.0.0.1:${port}`), (error: unknown) => error instanceof IpcnetError && error.status === Status.badGateway);
});
