import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hashText, nameHash, schemaHash } from "./schemaHash.ts";

test("the hash is that of the canonical text", () => {
  // printf '["ipcnet schema 1","cbor",null]' | sha256sum
  assert.equal(hashText(schemaHash("cbor", undefined)), "00155e0dfd3294c6");
  assert.equal(schemaHash("cbor", undefined), schemaHash("cbor", null));
  assert.notEqual(schemaHash("cbor", undefined), schemaHash("json", undefined));
  // printf 'arm/pose' | sha256sum
  assert.equal(hashText(nameHash("arm/pose")), "e14ba17dabdefeb3");
});

test("the order of keys means nothing, the order of items does", () => {
  assert.equal(schemaHash("json", { a: 1, b: { c: [1, 2], d: 3 } }), schemaHash("json", { b: { d: 3, c: [1, 2] }, a: 1 }));
  // printf '["ipcnet schema 1","json",{"10":1,"9":2}]' | sha256sum
  assert.equal(hashText(schemaHash("json", { 9: 2, 10: 1 })), "e1273436ec8f1f22");
  assert.notEqual(schemaHash("json", [1, 2]), schemaHash("json", [2, 1]));
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (object) => {
    const reversed = Object.fromEntries(Object.entries(object).reverse());
    if (Object.keys(object).some((key) => key === "__proto__")) return;
    assert.equal(schemaHash("cbor", object), schemaHash("cbor", reversed));
  }));
});
