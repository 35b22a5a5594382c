import assert from "node:assert/strict";
import { constants, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { mediaCodec } from "../../schemas/media/index.ts";
import { Descriptor } from "./descriptor.ts";
import { SocketError } from "./native.ts";
import { fileContent, openSealed, sealBytes, sealedFilePayload } from "./sealedFile.ts";

const hello = new TextEncoder().encode("hello, sealed world");

test("sealed bytes are read as they were, whole or in part", () => {
  const descriptor = sealBytes(hello);
  const file = openSealed(descriptor);
  assert.equal(file.sizeBytes, hello.length);
  assert.deepEqual(file.read(), hello);
  assert.deepEqual(file.read(7, 6), hello.subarray(7, 13));
  assert.deepEqual(file.read(hello.length), new Uint8Array(0));
  descriptor.close();
  assert.throws(() => file.read(), SocketError);
});

test("nobody can open a sealed file for writing and change it", () => {
  const descriptor = sealBytes(hello);
  assert.throws(() => {
    const fd = openSync(`/proc/self/fd/${descriptor.fd}`, constants.O_RDWR);
    writeFileSync(fd, "x");
  });
  assert.deepEqual(openSealed(descriptor).read(), hello);
  descriptor.close();
});

test("a file that could still change is refused", () => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-test-"));
  writeFileSync(join(folder, "plain"), hello);
  const plain = Descriptor.open(join(folder, "plain"), constants.O_RDONLY);
  assert.throws(() => openSealed(plain), (error) => error instanceof SocketError && error.code === "EPERM");
  plain.close();
  rmSync(folder, { recursive: true });
});

test("a file's content counts only with the size and the hash that its payload names", () => {
  const payload = mediaCodec("file").decode(sealedFilePayload("hello.txt", "text/plain", hello));
  assert.ok(payload.ok);
  assert.deepEqual([payload.value.name, payload.value.type, payload.value.sizeBytes, payload.value.content], ["hello.txt", "text/plain", hello.length, undefined]);
  const [right, other, longer] = [sealBytes(hello), sealBytes(hello.map((byte) => byte ^ 1)), sealBytes(new Uint8Array(100))];
  assert.deepEqual(fileContent(payload.value, right), hello);
  assert.equal(fileContent(payload.value, other), undefined);
  assert.equal(fileContent(payload.value, longer), undefined);
  assert.equal(fileContent(payload.value, undefined), undefined);
  for (const descriptor of [right, other, longer]) descriptor.close();
  assert.throws(() => sealedFilePayload("../x", "", hello), RangeError);
});
