import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readlinkSync } from "node:fs";
import { test } from "node:test";

const root = process.getuid?.() === 0;

/** A program of user 65401 that protects itself when told so, then opens its own descriptors again, and says what it could do. */
const victim = `const { protectProcess, Descriptor } = await import(${JSON.stringify(new URL("./index.js", import.meta.url).href)});
  const { constants, readFileSync } = await import("node:fs");
  const own = Descriptor.open("/dev/null", constants.O_RDONLY);
  const say = () => process.stdout.write(JSON.stringify({ core: /Max core file size *(\\S+)/.exec(readFileSync("/proc/self/limits", "utf8"))[1], reopened: (() => { const again = Descriptor.open("/proc/self/fd/" + own.fd, constants.O_RDONLY); const open = again.isOpen; again.close(); return open; })() }) + "\\n");
  process.stdin.once("data", () => { protectProcess(); say(); process.stdin.resume(); });
  process.stdout.write("ready\\n");`;

test("a protected process is closed to others of its user, and still at home with itself", { skip: root ? false : "needs root to become another user" }, async () => {
  const who = { uid: 65_401, gid: 65_401, cwd: "/" };
  const child = spawn(process.execPath, ["--input-type=module", "--eval", victim], { stdio: ["pipe", "pipe", "inherit"], ...who });
  const line = async (): Promise<string> => String((await once(child.stdout, "data"))[0]).trim();
  /** What another process of that user gets to see. */
  const spy = async (): Promise<string> => {
    const other = spawn(process.execPath, ["--eval", `const fs = require("node:fs"); for (const name of ["exe", "fd/0"]) try { fs.readlinkSync("/proc/${child.pid}/" + name); process.stdout.write("open "); } catch (error) { process.stdout.write(error.code + " "); }
      try { fs.closeSync(fs.openSync("/proc/${child.pid}/mem", "r+")); process.stdout.write("open"); } catch (error) { process.stdout.write(error.code); }`], { stdio: ["ignore", "pipe", "inherit"], ...who });
    let text = "";
    other.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
    await once(other, "close");
    return text;
  };
  try {
    assert.equal(await line(), "ready");
    assert.equal(await spy(), "open open open", "without protection the same user may do everything");
    child.stdin.write("now\n");
    assert.deepEqual(JSON.parse(await line()), { core: "0", reopened: true });
    assert.equal(await spy(), "EACCES EACCES EACCES");
    // What identifies it stays readable.
    assert.match(readFileSync(`/proc/${child.pid}/cgroup`, "utf8"), /:\//);
    assert.ok(readlinkSync(`/proc/${child.pid}/exe`).length > 0, "root may");
  } finally {
    child.kill("SIGKILL");
    await once(child, "close");
  }
});
