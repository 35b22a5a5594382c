/** What this folder writes is what `schemas/messages/mqtt.schema.json` promises to others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Ajv } from "ajv";
import { mqttSchema } from "../../schemas/messages/mqttSchema.ts";
import { Status } from "../../schemas/status.ts";
import { decodeCommand, encodeJsonCommand } from "./command.ts";
import { decodeRequest, encodeResponse } from "./request.ts";
import { encodeStatus, parseBridgeState, willOf } from "./status.ts";

const ajv = new Ajv().addSchema(mqttSchema);

function fits(kind: string, payload: Uint8Array): boolean {
  return ajv.validate(`${mqttSchema.$id}#/definitions/${kind}`, JSON.parse(Buffer.from(payload).toString("utf8")));
}

test("bridge states, wills and availability", () => {
  const state = { state: "online", instance: "a", epoch: 3, session: 7, reason: "", version: "0.1.0" } as const;
  assert.ok(fits("BridgeState", encodeStatus(state)));
  assert.ok(fits("BridgeState", encodeStatus(willOf(state))));
  assert.ok(fits("Availability", encodeStatus({ state: "offline", epoch: 3, session: 7 })));
  const strange = Buffer.from(JSON.stringify({ ...state, epoch: -1 }));
  assert.equal(parseBridgeState(strange), undefined);
  assert.ok(!fits("BridgeState", strange));
});

test("commands: the schema's own example is accepted as sent, and what is refused for its members does not fit", () => {
  const [example] = mqttSchema.definitions.Command!.examples as readonly { id: string; ttlMs: number; seq: number; values: Record<string, unknown> }[];
  const name = "demo/cmd/arm/Motion";
  const good = encodeJsonCommand(name, { id: example!.id, ttlMs: example!.ttlMs, seq: example!.seq, values: example!.values });
  assert.ok(fits("Command", good));
  assert.ok(fits("Command", encodeJsonCommand(name, { id: "x", ttlMs: 0.5, seq: 0, sentAt: 1.7e12, values: {} })));
  for (const [member, value] of [["id", ""], ["ttlMs", 0], ["ttlMs", 60_001], ["seq", -1], ["seq", 1.5], ["sentAt", 0], ["values", []]] as const) {
    const bad = encodeJsonCommand(name, { id: "x", ttlMs: 1, seq: 0, values: {}, [member]: value });
    assert.equal(decodeCommand(name, { payload: bad, retain: false }).ok, false, member);
    assert.ok(!fits("Command", bad), member);
  }
});

test("requests and responses", () => {
  const request = Buffer.from('{"transaction":"t1","path":"x"}');
  assert.ok(fits("Request", request));
  assert.ok(decodeRequest({ payload: request, retain: false }).ok);
  assert.ok(fits("Response", encodeResponse({ transaction: "t1", code: Status.ok, data: { armed: true } })));
  assert.ok(fits("Response", encodeResponse({ transaction: undefined, code: Status.forbidden })));
  assert.ok(!fits("Request", Buffer.from('{"transaction":{}}')));
});
