/** The services of the gateway itself, with everything behind them in the hand of the test. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Status } from "../../schemas/status.ts";
import { gatewayServices, type ServicePorts } from "./services.ts";

interface Bench {
  /** What was done, in order. */
  done: string[];
  call(service: string, body?: Record<string, unknown>): Promise<{ status: number; text?: string }>;
  /** The nodes have said who they are. */
  read(): void;
}

function bench(): Bench {
  const done: string[] = [];
  const waiting: (() => void)[] = [];
  const ports: Partial<ServicePorts> = {
    arm: (why) => (done.push(`arm: ${why}`), []),
    disarm: () => void done.push("disarm"),
    reset: () => void done.push("reset"),
    safePose: () => (done.push("pose"), Promise.resolve({} as never)),
    identitiesRead: () => new Promise((resolve) => void waiting.push(resolve)),
  };
  const services = gatewayServices(ports as ServicePorts);
  return { done, call: async (service, body = {}) => services.get(`gateway/${service}`)!(body, "a test"), read: () => waiting.splice(0).forEach((each) => each()) };
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

test("arming, with a reset or without, waits for what the nodes say of themselves", async () => {
  for (const reset of [true, false]) {
    const { done, call, read } = bench();
    const asked = call("arm", { reset });
    await turn();
    assert.deepEqual(done, reset ? ["reset"] : []);
    read();
    assert.equal((await asked).status, Status.ok);
    assert.deepEqual(done.slice(reset ? 1 : 0), ["arm: armed by a test"]);
  }
});

test("what was said last counts: disarmed or posed while it waited, nothing is armed", async () => {
  for (const word of ["disarm", "safe-pose"]) {
    const { done, call, read } = bench();
    const asked = call("arm", { reset: true });
    await turn();
    await call(word);
    read();
    const { status, text } = await asked;
    assert.equal(status, Status.preconditionFailed);
    assert.match(text ?? "", /while this waited: say it again/);
    assert.ok(!done.some((each) => each.startsWith("arm")), done.join());
    // And what is said after it counts again.
    const again = call("arm");
    await turn();
    read();
    assert.equal((await again).status, Status.ok);
  }
});
