import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { behaviour } from "../rig/behaviour.ts";
import type { Report } from "../rig/report/result.ts";
import type { Rig } from "../rig/rig.ts";
import { freePort } from "../waiting.ts";

/** What a bench can do with nothing but two interfaces and a login. */
const FILES = ["framesPassThroughTheDriver", "aFullQueueIsAVerdict"];
/** Of QEMU's user network. */
const ADDRESS = "10.0.2.15/24";

export default behaviour({
  name: "a bench is reached by ssh alone: the same files run over a login as root, and those that need a virtual machine are listed as skipped",
  needs: { machine: "plain", devices: ["sja1000", "network"] },
  bench: "npm run hil -- --target ssh://root@robot --can can0,can1 --folder /opt/ipcnet",
  timeoutMs: 30 * 60_000,
  async run(rig) {
    if ((await rig.run("command -v sshd")).code !== 0) rig.skip("no ssh server is installed (Debian: openssh-server)");
    // In the machine's own folder, which goes with it however the run ends: there is a key in it.
    const folder = mkdtempSync(join(rig.machine.folder, "bench-"));
    try {
      const [ours, theirs] = await rig.pair("sja1000");
      const port = await serve(rig);
      writeFileSync(join(folder, "key"), await rig.sh("cat /tmp/ssh/user", { quiet: true }), { mode: 0o600 });
      writeFileSync(join(folder, "config"), `Host *\n  IdentityFile ${join(folder, "key")}\n  UserKnownHostsFile ${join(folder, "known")}\n  StrictHostKeyChecking accept-new\n  ServerAliveCountMax 200\n`);
      await rig.step("the rig's command, with --target", async () => {
        const { code, text } = await command(["--target", `ssh://root@127.0.0.1:${port}`, "--can", `${ours},${theirs}`, "--folder", rig.place.repository, "--out", join(folder, "report"), ...FILES, "aBadLink"], { IPCNET_HIL_SSH_CONFIG: join(folder, "config") });
        rig.log += text;
        assert.equal(code, 0, text);
      });
      const report = JSON.parse(readFileSync(join(folder, "report/results.json"), "utf8")) as Report;
      assert.match(report.where, /^root@127\.0\.0\.1, Linux /);
      assert.deepEqual(report.results.map(({ file, verdict }) => `${file} ${verdict}`).sort(), ["aBadLinkAltersNothingUnnoticed skipped", ...FILES.map((file) => `${file} passed`)].sort());
      for (const { file, ms, verdict } of report.results) if (verdict === "passed") rig.figure(`${file}, s`, (ms / 1e3).toFixed(1));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
});

/** An ssh server in the machine that lets root in by a key which was made for this; the port of this host that leads there. */
async function serve(rig: Rig): Promise<number> {
  await rig.sh("modprobe virtio_net; for i in $(seq 100); do [ -d /sys/class/net/eth0 ] && break; sleep 0.1; done; ip link set eth0 up && ip address replace " + ADDRESS + " dev eth0");
  await rig.sh("rm -rf /tmp/ssh; mkdir -p -m 755 /run/sshd; mkdir -m 700 /tmp/ssh && cd /tmp/ssh && ssh-keygen -q -t ed25519 -N '' -f host && ssh-keygen -q -t ed25519 -N '' -f user && mv user.pub allowed");
  const server = rig.start("exec $(command -v sshd) -D -e -f /dev/null -h /tmp/ssh/host -o Port=22 -o PidFile=none -o AuthorizedKeysFile=/tmp/ssh/allowed -o StrictModes=no -o PermitRootLogin=prohibit-password -o UsePAM=no -o LoginGraceTime=600");
  await rig.eventually("the ssh server", async () => (await rig.run("ss -ltn 2>/dev/null | grep -q ':22 '", { quiet: true })).code === 0, () => server.err);
  return rig.eventually("a way in", async () => {
    const port = await freePort();
    // Somebody else may have taken it meanwhile: then the monitor says so.
    return (await rig.machine.qmp.order("human-monitor-command", { "command-line": `hostfwd_add net tcp:127.0.0.1:${port}-:22` })) === "" && port;
  });
}

function command(words: readonly string[], environment: Record<string, string>): Promise<{ code: number | null; text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["--enable-source-maps", join(import.meta.dirname, "../rig/run.js"), ...words], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...environment } });
    let text = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (more: string) => (text += more));
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, text }));
  });
}
