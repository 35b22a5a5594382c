/** The control group: programs that go about their business the whole time and count what becomes of it. A talker, a listener, a provider and a caller, each a user of its own. */
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { Program } from "../../program.ts";
import { eventually } from "../../waiting.ts";

export const users = { talker: 65_411, listener: 65_412, provider: 65_413, caller: 65_414, peer: 65_415, attacker: 65_420 } as const;

/** Whoever may do what: the attacker has its own corner and may read `shared`; the peer may do all that the control group does. */
export const policyText = `version: 1
components:
${Object.entries(users).map(([name, uid]) => `  ${name}: { uid: ${uid} }`).join("\n")}
rules:
  - { allow: [write], who: [talker], topics: ["app/#", "secret/#", "shared/#"] }
  - { allow: [read], who: [listener], topics: ["app/#", "secret/#", "shared/#"] }
  - { allow: [offer], who: [provider, peer], services: [app/echo] }
  - { allow: [execute], who: [caller], services: [app/echo] }
  - { allow: [read], who: [peer], topics: ["app/#"] }
  - { allow: [read], who: [attacker], topics: ["open/#", "shared/#"] }
  - { allow: [write], who: [attacker, peer], topics: ["open/#"] }
  - { allow: [execute, offer], who: [attacker, peer], services: ["open/#"] }
`;

export const configuration = `version: 1
robot: attacked
topics:
  - { name: app/brokered, encoding: json, writers: [] }
  - { name: secret/brokered, encoding: json, writers: [] }
`;

export const CANARY = "canary-4f1c9a7be2";

/** What a lossless reader may cost, ms: longer than a busy machine's pauses, short enough to see a frozen reader demoted. */
export const STRICT_DEADLINE_MS = 2_500;

const talker = `
  const count = await client.advertise("app/count", { encoding: "json", queue: 16_384 });
  const strict = await client.advertise("app/strict", { encoding: "json", policy: "lossless", queue: 256, deadlineMs: ${STRICT_DEADLINE_MS} });
  const secret = await client.advertise("secret/canary", { encoding: "json", queue: 64 });
  const shared = await client.advertise("shared/count", { encoding: "json", queue: 64 });
  let counted = 0, stricts = 0, brokered = 0, refused = 0, stopped = false;
  const timer = setInterval(() => {
    for (let i = 0; i < 5; i++) count.publish(counted++);
    if (strict.publish(stricts)) stricts += 1;
    shared.publish(counted);
    secret.publish("${CANARY} " + counted);
  }, 3);
  const through = (async () => {
    while (!stopped) {
      await client.publish("app/brokered", brokered).then(() => { brokered += 1; }, () => { refused += 1; });
      await client.publish("secret/brokered", "${CANARY}").catch(() => { refused += 1; });
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  onAsk(async (word) => {
    if (word === "stop") { clearInterval(timer); stopped = true; await through; }
    say({ counted, stricts, brokered, refused });
  });
  say("talking");`;

const listener = `
  const next = { "app/count": 0, "app/strict": 0, "app/brokered": 0 };
  let lost = 0, wrong = 0, strangers = 0, canaries = 0;
  await client.subscribe("app/#", { policy: { queue: 16_384 } }, ({ topic, value, lostBefore, origin }) => {
    if (topic === "app/strict") return;
    lost += lostBefore;
    if (!origin.startsWith("talker") && topic !== "app/brokered") strangers += 1;
    if (value !== next[topic]) wrong += 1;
    next[topic] = value + 1;
  });
  await client.subscribe("app/strict", { policy: "lossless" }, ({ value, lostBefore }) => {
    lost += lostBefore;
    if (value !== next["app/strict"]) wrong += 1;
    next["app/strict"] = value + 1;
  });
  await client.subscribe("secret/#", { policy: { queue: 1000 } }, ({ value }) => { canaries += String(value).startsWith("${CANARY}") ? 1 : 0; });
  onAsk(() => say({ counted: next["app/count"], stricts: next["app/strict"], brokered: next["app/brokered"], lost, wrong, strangers, canaries }));
  say("listening");`;

const provider = `
  let answered = 0, foreign = 0;
  await client.offer("app/echo", { capacity: 4 }, (body, call) => {
    answered += 1;
    if (call.caller.uid !== ${users.caller} && process.getuid() !== 0) foreign += 1;
    return { twice: body.n * 2, uid: process.getuid() };
  });
  onAsk(() => say({ answered, foreign }));
  say("providing");`;

const caller = `
  let called = 0, failed = [], wrong = 0, slowestMs = 0, stopped = false;
  const run = (async () => {
    for (let n = 0; !stopped; n++) {
      const beganMs = performance.now();
      await client.request("app/echo", { n }, { timeoutMs: 60_000 }).then(({ twice }) => { if (twice !== 2 * n) wrong += 1; }, (error) => failed.push(String(error)));
      called += 1;
      slowestMs = Math.max(slowestMs, performance.now() - beganMs);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  onAsk(async (word) => { if (word === "stop") { stopped = true; await run; } say({ called, failed: failed.slice(0, 3), wrong, slowestMs }); });
  say("calling");`;

interface Talked { counted: number; stricts: number; brokered: number; refused: number }
interface Listened { counted: number; stricts: number; brokered: number; lost: number; wrong: number; strangers: number; canaries: number }
interface Called { called: number; failed: string[]; wrong: number; slowestMs: number }

export class Innocents {
  readonly talker: Program;
  readonly listener: Program;
  readonly provider: Program;
  readonly caller: Program;

  private constructor(first: Pick<Innocents, "listener" | "provider">, second: Pick<Innocents, "talker" | "caller">) {
    this.listener = first.listener;
    this.provider = first.provider;
    this.talker = second.talker;
    this.caller = second.caller;
  }

  /** Who listens and provides is there before who talks and calls. */
  static async start(t: TestContext, socketPath: string): Promise<Innocents> {
    const program = (who: number, source: string): Program => new Program(t, socketPath, source, { who: { uid: who, gid: who }, options: { timeoutMs: 20_000 } });
    const first = { listener: program(users.listener, listener), provider: program(users.provider, provider) };
    await Promise.all([first.listener.line(0), first.provider.line(0)]);
    const second = { talker: program(users.talker, talker), caller: program(users.caller, caller) };
    await Promise.all([second.talker.line(0), second.caller.line(0)]);
    const self = new Innocents(first, second);
    await self.goOn();
    return self;
  }

  /** Resolves when each of them has got something done since now: nobody is held up. */
  async goOn({ calls = true } = {}): Promise<void> {
    const heard = await this.listener.ask<Listened>("?");
    const called = await this.caller.ask<Called>("?");
    await eventually("the control group goes on", async () => {
      const now = await this.listener.ask<Listened>("?");
      return now.counted >= heard.counted + 50 && now.stricts >= heard.stricts + 10 && (!calls || now.brokered > heard.brokered + 2);
    }, { timeoutMs: 60_000 });
    if (calls) await eventually("calls are answered", async () => (await this.caller.ask<Called>("?")).called >= called.called + 5, { timeoutMs: 60_000 });
  }

  /** All of them stop and compare: nothing was lost, nothing wrong came, every call was answered. Returns what went between them. */
  async compare(): Promise<{ messages: number; calls: number; slowestMs: number }> {
    const sent = await this.talker.ask<Talked>("stop");
    const calls = await this.caller.ask<Called>("stop");
    const heard = await eventually("everything has arrived", async () => {
      const now = await this.listener.ask<Listened>("?");
      return now.counted >= sent.counted && now.stricts >= sent.stricts && now.brokered >= sent.brokered && now;
    }, { timeoutMs: 60_000 });
    assert.deepEqual({ ...heard, canaries: 0 }, { counted: sent.counted, stricts: sent.stricts, brokered: sent.brokered, lost: 0, wrong: 0, strangers: 0, canaries: 0 });
    assert.ok(heard.canaries > 0, "there was something to hide");
    assert.deepEqual({ refused: sent.refused, failed: calls.failed, wrong: calls.wrong }, { refused: 0, failed: [], wrong: 0 });
    const { foreign } = await this.provider.ask<{ foreign: number }>("?");
    assert.equal(foreign, 0, "only the caller has called");
    return { messages: sent.counted + sent.stricts + sent.brokered, calls: calls.called, slowestMs: Math.round(calls.slowestMs) };
  }
}
