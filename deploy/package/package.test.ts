import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../../gateway/cli/root.ts";
import { changelog, conffiles, control, copyright } from "./control.ts";
import { compareVersions, elfMachine, newestVersion } from "./elf.ts";
import { isWantedOfModules, runtime, targets } from "./target.ts";
import { foldersOf, isWantedOfDist, modeOf, scripts, sources } from "./tree.ts";

/** The first 20 bytes of an ELF file for that machine, and then what stands in its string table. */
function elf(machine: number, ...strings: readonly string[]): Uint8Array {
  const head = Buffer.alloc(20);
  head.write("\x7fELF", "latin1");
  head.writeUInt16LE(machine, 18);
  return Buffer.concat([head, Buffer.from(`\0${strings.join("\0")}\0`, "latin1")]);
}

test("a compiled file says for which machine it is, and which C library it needs", () => {
  assert.equal(elfMachine(elf(targets.arm64.machine)), 183);
  assert.equal(elfMachine(elf(targets.amd64.machine)), 62);
  assert.equal(elfMachine(Buffer.from("#!/bin/sh\nexec something long enough\n")), undefined);
  assert.equal(elfMachine(new Uint8Array(4)), undefined);
  assert.deepEqual(newestVersion(elf(62, "GLIBC_2.9", "GLIBC_2.34", "GLIBC_2.2.5", "GLIBCXX_3.4.30"), "GLIBC"), [2, 34]);
  assert.deepEqual(newestVersion(elf(62, "GLIBC_2.9", "GLIBCXX_3.4.30"), "GLIBCXX"), [3, 4, 30]);
  assert.equal(newestVersion(elf(62, "GLIBC_PRIVATE"), "GLIBC"), undefined);
  assert.ok(compareVersions([2, 9], [2, 34]) < 0 && compareVersions([2, 34], [2, 34]) === 0 && compareVersions([2, 34, 1], [2, 34]) > 0);
});

test("this program's own file is one", { skip: process.platform === "linux" ? false : "needs Linux" }, async () => {
  const { readFileSync } = await import("node:fs");
  assert.equal(elfMachine(readFileSync(process.execPath).subarray(0, 64)), targets[process.arch === "arm64" ? "arm64" : "amd64"].machine);
});

test("of npm's packages goes along what runs, for that machine, with its licence", () => {
  const cases: readonly (readonly [path: string, wanted: boolean])[] = [
    ["node_modules/ajv/dist/ajv.js", true], ["node_modules/ajv/dist/ajv.js.map", false], ["node_modules/ajv/lib/ajv.ts", false], ["node_modules/ajv/LICENSE", true], ["node_modules/ajv/package.json", true],
    ["node_modules/yaml/dist/doc/Document.js", true], ["node_modules/mqtt/build/index.js", true], ["node_modules/mqtt/test/x.js", false], ["node_modules/commander/typings/index.d.ts", false],
    ["node_modules/@serialport/bindings-cpp/prebuilds/linux-arm64/@serialport+bindings-cpp.armv8.glibc.node", true], ["node_modules/@serialport/bindings-cpp/prebuilds/linux-arm64/node.napi.musl.node", false],
    ["node_modules/@serialport/bindings-cpp/prebuilds/linux-x64/node.napi.glibc.node", false], ["node_modules/@serialport/bindings-cpp/prebuilds/win32-x64/node.napi.node", false],
    ["node_modules/@serialport/bindings-cpp/src/serialport.cpp", false], ["node_modules/ws/README.md", false], ["node_modules/.package-lock.json", false], ["node_modules/@types/node/index.js", false], ["node_modules/node-api-headers/index.js", false],
    ["node_modules/@cbor-extract/cbor-extract-linux-arm64/node.napi.musl.node", false], ["node_modules/@cbor-extract/cbor-extract-linux-arm64/node.napi.glibc.node", true], ["node_modules/a/node_modules/b/index.js", true],
  ];
  for (const [path, wanted] of cases) assert.equal(isWantedOfModules(path, "arm64"), wanted, path);
});

test("of our own goes along what runs", () => {
  for (const path of ["gateway/bin/ipcnetd.js", "schemas/messages/config.schema.json", "deploy/can/up.js", "deploy/order/main.js"]) assert.ok(isWantedOfDist(path), path);
  for (const path of ["gateway/bin/rehearsal.test.js", "gateway/bin/ipcnetd.js.map", "gateway/bin/ipcnetd.d.ts", "hil-tests/daemon.js", "bench/x.js", "examples/arm/run.js", "deploy/package/build.js", "gateway/identity/fuzz.js"]) assert.ok(!isWantedOfDist(path), path);
});

test("the control file names the machine and what is needed, in Debian's form", () => {
  const text = control({ version: "1.2.3", target: targets.arm64, installedKiB: 120_000, libc: [2, 36] });
  assert.match(text, /^Package: ipcnet\nVersion: 1\.2\.3\nArchitecture: arm64\n/);
  assert.match(text, /^Depends: libc6 \(>= 2\.36\), .*systemd \(>= 249\)/m);
  // Each line is a field, or begins with a space and goes on with one; at most 80 columns in a description.
  for (const line of text.trimEnd().split("\n")) assert.match(line, /^(?:[A-Z][A-Za-z-]*: \S|\s\S)/);
  assert.ok(text.split("\n").filter((line) => line.startsWith(" ")).every((line) => line.length <= 80));
  assert.ok(text.endsWith("\n") && !text.includes("\n\n"));
});

test("what a person may change is a conffile, nothing else", () => {
  assert.equal(conffiles(["usr/bin/ipcnet", "etc/ipcnet/reflex.env", "etc/ipcnet/ipcnet.yaml"]), "/etc/ipcnet/ipcnet.yaml\n/etc/ipcnet/reflex.env\n");
});

test("changelog and copyright are in Debian's form", () => {
  assert.match(changelog("1.2.3", 0), /^ipcnet \(1\.2\.3\) unstable; urgency=medium\n\n  \* .*\n\n -- .* <.*>  Thu, 01 Jan 1970 00:00:00 \+0000\n$/);
  const text = copyright([{ files: "x/*", name: "MIT", text: "MIT License\n\nCopyright (c) 2020 Somebody\n\nPermission is hereby granted." }]);
  // Debian has the text of some licences already, and wants them named.
  assert.match(copyright([{ files: "y/*", name: "Apache-2.0", text: "Apache License\n\nCopyright 2021 Somebody Else\n" }]), /License: Apache-2\.0\n On Debian systems .*\/usr\/share\/common-licenses\/Apache-2\.0/);
  assert.match(text, /\nFiles: x\/\*\nCopyright: \(c\) 2020 Somebody\nLicense: MIT\n MIT License\n \.\n Copyright/);
});

test("everything that is copied is there, and what runs may be run", () => {
  for (const [from] of sources) assert.ok(existsSync(join(projectRoot(), from)), from);
  for (const [path] of scripts) assert.equal(modeOf(path), 0o755, path);
  assert.equal(modeOf("usr/lib/systemd/system/ipcnetd@.service"), 0o644);
  assert.deepEqual(foldersOf(["a/b/c", "a/d"]), ["a", "a/b"]);
});

test("the runtime is pinned by version and hash", () => {
  assert.match(runtime.version, /^24\.\d+\.\d+$/);
  for (const integrity of Object.values(runtime.integrity)) assert.match(integrity, /^sha512-[A-Za-z0-9+/]{86}==$/);
});
