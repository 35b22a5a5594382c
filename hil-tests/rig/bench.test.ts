/** A bench whose ssh is the shell of this machine. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { openBench } from "./bench.ts";

const skip = spawnSync("python3", ["-c", "import sys; sys.exit(sys.version_info < (3, 9))"]).status === 0 ? false : "there is no python3";

test("the agent goes over with the call, and answers through its pipes", { skip }, async () => {
  // "$0" is the host, "$1" the command: as ssh, it is run by a shell.
  const bench = await openBench({ host: "root@here", port: undefined }, ["bash", "-c", 'exec bash -c "$1"']);
  try {
    assert.equal((await bench.agent.run("echo $((6 * 7))")).out, "42\n");
  } finally {
    await bench.end();
  }
});

test("a bench that is not there says why", async () => {
  await assert.rejects(openBench({ host: "root@nowhere", port: undefined }, ["bash", "-c", 'echo "no route to $0" >&2; exit 255']), /no agent on root@nowhere: no route to root@nowhere/);
  await assert.rejects(openBench({ host: "x", port: undefined }, ["/nowhere/ssh"]), /could not be started/);
});
