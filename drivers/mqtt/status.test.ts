import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import type { BridgeState, PublisherEvent, PublisherState } from "./status.ts";
import { BridgeStatePublisher, BridgeStateView, compareIncarnations, encodeStatus, nodeAvailable, parseAvailability, parseBridgeState, PUBLISHER_TABLE, willOf } from "./status.ts";

const state = (epoch: number, session: number, word: BridgeState["state"] = "online", instance = "a"): BridgeState => ({ state: word, instance, epoch, session, reason: "", version: "0.1.0" });
const offline = (epoch: number, session: number, instance = "a"): Uint8Array => encodeStatus(willOf(state(epoch, session, "online", instance)));

test("a late will of a dead instance cannot overwrite its successor", () => {
  const view = new BridgeStateView();
  assert.equal(view.accept(encodeStatus(state(1, 1))).accepted, true);
  assert.equal(view.accept(encodeStatus(state(2, 1, "online", "b"))).accepted, true);
  assert.deepEqual(view.accept(offline(1, 1)), { accepted: false, code: "older" });
  assert.equal(view.current?.instance, "b");
  assert.equal(view.accept(offline(2, 1, "b")).accepted, true, "its own will is believed");
  assert.equal(view.current?.state, "offline");
});

test("whatever the order of arrival, the view ends with the highest incarnation", () => {
  const incarnations = fc.record({ epoch: fc.nat({ max: 4 }), session: fc.nat({ max: 4 }) });
  fc.assert(fc.property(fc.array(incarnations, { minLength: 1 }), (many) => {
    const view = new BridgeStateView();
    for (const { epoch, session } of many) view.accept(encodeStatus(state(epoch, session)));
    for (const each of many) assert.ok(compareIncarnations(view.current!, each) >= 0);
  }));
});

test("what is not a state is malformed, never a throw", () => {
  const view = new BridgeStateView();
  for (const text of ["", "{", "null", "[]", '"online"', '{"state":"up"}', '{"state":"online","instance":"a","epoch":-1,"session":0}', '{"state":"online","instance":"a","epoch":1.5,"session":0}', '{"state":"online","instance":"a","epoch":1,"session":1e99}', `{"state":"online","instance":"${"x".repeat(300)}","epoch":1,"session":1}`]) {
    assert.deepEqual(view.accept(Buffer.from(text)), { accepted: false, code: "malformed" }, text);
  }
  assert.equal(parseBridgeState(new Uint8Array(5000).fill(0x20)), undefined);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void [parseBridgeState(bytes), parseAvailability(bytes)]));
});

test("the publisher repeats itself when its own or a dead instance's will overwrote the topic, bounded in rate", () => {
  const publisher = new BridgeStatePublisher(state(0, 0));
  assert.deepEqual(publisher.connected({ epoch: 2, session: 1 }), state(2, 1));
  assert.equal(publisher.saw(encodeStatus(state(2, 1)), 0), undefined, "our own echo");
  assert.deepEqual(publisher.saw(offline(1, 7), 1_000), state(2, 1));
  assert.equal(publisher.saw(offline(2, 1), 2_000), undefined, "too soon after the last repetition");
  assert.equal(publisher.nextDeadlineUs(), 201_000);
  assert.equal(publisher.poll(200_999), undefined);
  assert.deepEqual(publisher.poll(201_000), state(2, 1));
  assert.equal(publisher.nextDeadlineUs(), undefined);
  assert.deepEqual(publisher.saw(Buffer.from("rubbish"), 900_000), state(2, 1), "rubbish on the topic is overwritten too");
});

test("the publisher falls silent when a higher incarnation speaks, and says no goodbye over it", () => {
  const publisher = new BridgeStatePublisher(state(0, 0));
  publisher.connected({ epoch: 1, session: 1 });
  assert.equal(publisher.saw(encodeStatus(state(2, 0, "online", "b")), 0), undefined);
  assert.equal(publisher.state, "superseded");
  assert.equal(publisher.supersededBy?.instance, "b");
  assert.equal(publisher.changed("stopping", ""), undefined);
  assert.equal(publisher.stop("stopped"), undefined);
});

test("the farewell says offline with the reason", () => {
  const publisher = new BridgeStatePublisher(state(0, 0));
  publisher.connected({ epoch: 1, session: 1 });
  assert.deepEqual(publisher.stop("stopped by the operator"), { ...state(1, 1, "offline"), reason: "stopped by the operator" });
});

test("the table is total, each state can be reached, and silence can be reached from each", () => {
  const states = Object.keys(PUBLISHER_TABLE) as PublisherState[];
  const reach = (from: PublisherState): Set<PublisherState> => {
    const seen = new Set<PublisherState>([from]);
    for (const at of seen) for (const event of Object.keys(PUBLISHER_TABLE[at]) as PublisherEvent[]) seen.add(PUBLISHER_TABLE[at][event].to);
    return seen;
  };
  assert.equal(reach("away").size, states.length);
  for (const from of states) assert.ok(reach(from).has("left"), from);
});

test("a node is available only if bridge and node say so in the same incarnation", () => {
  assert.equal(nodeAvailable(state(1, 1), { state: "online", epoch: 1, session: 1 }), true);
  assert.equal(nodeAvailable(state(1, 2), { state: "online", epoch: 1, session: 1 }), false, "left over from before a crash");
  assert.equal(nodeAvailable(state(1, 1, "offline"), { state: "online", epoch: 1, session: 1 }), false);
  assert.equal(nodeAvailable(undefined, { state: "online", epoch: 1, session: 1 }), false);
  assert.equal(nodeAvailable(state(1, 1), undefined), false);
});
