import assert from "node:assert/strict";
import { test } from "node:test";
import { Status } from "../../schemas/status.ts";
import { type AskingClient, askGateway } from "./ask.ts";

const answers: Record<string, unknown> = { "gateway/status": { state: "disarmed", links: [] }, "gateway/config": { hash: "abc", config: {} }, "gateway/failover": { active: "a", standby: { instance: "b", ready: true }, pid: 1 }, "gateway/reflex": [{ instance: "a" }] };

function gateway(request: (service: string) => unknown): { connect: () => Promise<AskingClient>; closed: () => number } {
  let closed = 0;
  return { connect: () => Promise.resolve({ request: (service) => Promise.resolve(service).then(request), close: () => Promise.resolve(void (closed += 1)) }), closed: () => closed };
}

test("a pair with reflexes: what is asked of it, and no more", async () => {
  const { connect, closed } = gateway((service) => answers[service]);
  assert.deepEqual(await askGateway(connect), { state: "disarmed", hash: "abc", active: "a", standby: { instance: "b", ready: true }, reflexes: [{ instance: "a" }] });
  assert.equal(closed(), 1);
});

test("a gateway that runs alone has neither the one nor the other", async () => {
  const { connect } = gateway((service) => {
    if (service === "gateway/failover" || service === "gateway/reflex") throw Object.assign(new Error("alone"), { status: Status.preconditionFailed });
    return answers[service];
  });
  assert.deepEqual(await askGateway(connect), { state: "disarmed", hash: "abc", active: undefined, standby: undefined });
});

test("nobody there, or gone in the middle of it: no answer, and the connection is closed", async () => {
  assert.equal(await askGateway(() => Promise.reject(new Error("ENOENT"))), undefined);
  const { connect, closed } = gateway((service) => {
    if (service === "gateway/reflex") throw new Error("closed");
    return answers[service];
  });
  assert.equal(await askGateway(connect), undefined);
  assert.equal(closed(), 1);
});
