// The C tests for arm64: cross-compiled (static, no sanitizers) and run by qemu. Its memory model is that of the machine it runs on, so this finds what does
// not compile, is laid out differently or takes another branch on arm64, and not a missing ordering: docs/specs/lanes.md argues those.
// Tests with "arm64": false ask the kernel for something that qemu does not pass on (SO_PEERGROUPS, rtnetlink's queue lengths).
import { spawnSync } from "node:child_process";
import { dist, has, join, mkdirSync, root } from "./lib.mjs";
import { compile, manifests } from "./native.mjs";

const compiler = "aarch64-linux-gnu-gcc";
const emulator = "qemu-aarch64-static";

/** Builds and runs them; true if all passed, or if the machine lacks the tools (which is said in one line). */
export function runArm64Tests({ only = "" } = {}) {
  const missing = [compiler, emulator].filter((tool) => !has(tool));
  if (missing.length > 0) {
    process.stdout.write(`C tests for arm64: skipped, there is no ${missing.join(" and no ")} (sudo apt-get install -y gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static)\n`);
    return true;
  }
  const outDir = join(dist, "native/arm64");
  mkdirSync(outDir, { recursive: true });
  let passed = 0;
  const failed = [];
  for (const manifest of manifests()) {
    for (const test of manifest.tests ?? []) {
      if (!test.name.includes(only) || test.arm64 === false) continue;
      const output = join(outDir, test.name);
      compile({ manifest, compiler, sources: test.sources, output, libs: test.libs ?? manifest.libs, flags: ["-O2", "-static", "-D_GNU_SOURCE", ...(test.flags ?? [])] });
      const result = spawnSync(emulator, [output, ...(test.args ?? [])], { cwd: root, stdio: "inherit", timeout: 300_000 });
      if (result.status === 0) passed += 1;
      else failed.push(`${test.name}: ${result.signal ?? `exit ${result.status}`}`);
    }
  }
  for (const line of failed) process.stderr.write(`C test for arm64 failed: ${line}\n`);
  process.stdout.write(`C tests for arm64: ${passed} passed, ${failed.length} failed\n`);
  return failed.length === 0;
}

process.exit(runArm64Tests({ only: process.argv[2] }) ? 0 : 1);
