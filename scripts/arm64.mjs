// The C tests for arm64: cross-compiled (static, no sanitizers) and run by qemu. Its memory model is that of the machine it runs on, so this finds what does
// not compile, is laid out differently or takes another branch on arm64, and not a missing ordering: docs/specs/lanes.md argues those.
// `--programs DIR` builds what runs on a real arm64 machine instead.
// Tests with "arm64": false ask the kernel for something that qemu does not pass on (SO_PEERGROUPS, rtnetlink's queue lengths).
import { dist, has, join, mkdirSync, root } from "./lib.mjs";
import { compile, compileTogether } from "./compile.mjs";
import { addonFlags, manifests, runOneByOne } from "./native.mjs";

const compiler = "aarch64-linux-gnu-gcc";
const emulator = "qemu-aarch64-static";

/** Builds and runs them; true if all passed, or if the machine lacks the tools (which is said in one line). */
export async function runArm64Tests({ only = "" } = {}) {
  const missing = [compiler, emulator].filter((tool) => !has(tool));
  if (missing.length > 0) {
    process.stdout.write(`C tests for arm64: skipped, there is no ${missing.join(" and no ")} (sudo apt-get install -y gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static)\n`);
    return true;
  }
  const outDir = join(dist, "native/arm64");
  mkdirSync(outDir, { recursive: true });
  const tests = manifests().flatMap((manifest) => (manifest.tests ?? []).filter(({ name, arm64 = true }) => name.includes(only) && arm64).map(({ name, sources, libs, flags = [], args = [] }) => (
    { manifest, compiler, sources, libs, name, args, output: join(outDir, name), flags: ["-O2", "-static", "-D_GNU_SOURCE", ...flags] }
  )));
  await compileTogether(tests);
  return runOneByOne("C tests for arm64", tests, [emulator]);
}

/** Addons, delivered programs and the rig's own ones (into test/, without sanitizers) for an arm64 machine: what `npm run hil` puts in the place of dist/native there. */
export function buildArm64({ outDir }) {
  mkdirSync(join(outDir, "test"), { recursive: true });
  for (const manifest of manifests()) {
    if (manifest.addon) compile({ manifest, compiler, sources: manifest.sources, output: join(outDir, `${manifest.addon}.node`), flags: addonFlags(manifest) });
    const isRig = manifest.folder.startsWith(join(root, "hil-tests/rig"));
    for (const { name, sources, libs, ship, shipFlags = [] } of (manifest.programs ?? []).filter((program) => program.ship || isRig)) {
      compile({ manifest, compiler, sources, output: join(outDir, ship ? name : `test/${name}`), libs: libs ?? manifest.libs, flags: ["-O2", "-D_GNU_SOURCE", ...shipFlags] });
    }
  }
}

const [only, outDir] = process.argv.slice(2);
if (only === "--programs") buildArm64({ outDir });
else process.exit((await runArm64Tests({ only })) ? 0 : 1);
