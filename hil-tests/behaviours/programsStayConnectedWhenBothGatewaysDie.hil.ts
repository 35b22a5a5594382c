import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { InstalledPackage, SLOW_MS } from "../rig/package.ts";

const PROGRAM = `
import ipcnet, sys
client = ipcnet.connect(name="keeper")
print("connected", flush=True)
for line in sys.stdin:
    print(client.request("gateway/failover", {}, timeout=600)["pid"], flush=True)
`;

export default behaviour({
  name: "both gateways are killed at once: systemd gives their successor the sockets, and a program goes on with the connection that it had",
  needs: { machine: "systemd", devices: [] },
  bench: "a program connected; kill -9 of both gateways at once; its next request is answered",
  timeoutMs: 2 * SLOW_MS,
  async run(rig) {
    const installed = await InstalledPackage.in(rig);
    await installed.healthy();
    await rig.sh(`cat >/tmp/keeper.py <<'END'\n${PROGRAM}END`, { quiet: true });
    const lines: string[] = [];
    const program = rig.start("exec /usr/bin/python3 /tmp/keeper.py", { input: true });
    program.onLine = (line) => void lines.push(line);
    await installed.until("the program is connected", () => lines.includes("connected"), () => program.err);
    program.write("?\n");
    await installed.until("an answer", () => lines.length === 2, () => program.err);
    await installed.until("its descriptors in the store", async () => Number(await installed.show("ipcnetd@a.service", "NFileDescriptorStore")) + Number(await installed.show("ipcnetd@b.service", "NFileDescriptorStore")) > 3);
    const pids = [await installed.mainPid("ipcnetd@a.service"), await installed.mainPid("ipcnetd@b.service")];
    await rig.sh(`kill -9 ${pids.join(" ")}`);
    program.write("?\n");
    await installed.until("the same connection is answered", () => lines.length === 3, () => program.err);
    assert.ok(!pids.includes(Number(lines[2])), `${lines[2]} answered, ${pids.join(" and ")} were killed`);
    await installed.paired();
    program.signal("SIGTERM");
  },
});
