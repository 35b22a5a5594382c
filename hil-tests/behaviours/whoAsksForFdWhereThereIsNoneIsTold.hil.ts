import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import { RemoteError } from "../rig/remoteDriver.ts";

export default behaviour({
  name: "fd: true on an interface that is not in FD mode, or cannot be: the driver, ipcnet-can, ipcnet config check and the gateway say so in a sentence, with what mends it",
  needs: { machine: "plain", devices: ["dcan", "sja1000"] },
  bench: "fd: true for an MCP2515, and for an MCP2518FD that was set up without fd on; journalctl -u ipcnet-can@can0, ipcnet config check",
  async run(rig) {
    const [fdCapable] = await rig.pair("dcan");
    const [classic] = await rig.pair("sja1000");
    const refusal = async (name: string): Promise<RemoteError> => {
      const driver = await rig.driver();
      try {
        await driver.start({ name: "bus", kind: "socketcan", interface: name, bitrateBps: 500_000, dataBitrateBps: 2_000_000, fd: true });
      } catch (error) {
        assert.ok(error instanceof RemoteError);
        return error;
      } finally {
        await driver.end();
      }
      throw new Error(`${name} was taken for one with FD`);
    };
    const program = (name: string, words: string): Promise<{ code: number | null; out: string; err: string }> =>
      rig.run(`cat >/tmp/fd.yaml <<'END'\nversion: 1\nrobot: fd\nsocket: { path: /tmp/fd.sock }\nbuses:\n  - { name: bus, interface: ${name}, bitrateBps: 500000, dataBitrateBps: 2000000, fd: true }\nEND\n${rig.place.node} ${words}`, { timeoutMs: 300_000 });
    const compiled = (path: string): string => rig.file(`dist/ts/${path}`);

    await rig.step("a controller that is not in FD mode: the driver names both bit rates", async () => {
      const { code, message, remedy } = await refusal(fdCapable);
      assert.deepEqual([code, message], ["noFdSupport", `${fdCapable} carries no CAN FD frames`]);
      assert.match(remedy, /type can bitrate 500000 dbitrate 2000000 fd on/);
    });
    await rig.step("a classic controller: no command would mend it, and none is named", async () => {
      const { code, message, remedy } = await refusal(classic);
      assert.equal(code, "noFdSupport");
      assert.match(message, /controller is a classic one/);
      assert.match(remedy, /fd: false/);
    });
    await rig.step("ipcnet config check says it of this machine, with what mends it", async () => {
      const { out } = await program(fdCapable, `${rig.file("bin/ipcnet.mjs")} config check /tmp/fd.yaml`);
      assert.match(out, /note noFdHere: .*carries no FD frames as it is set up here: .*ip(cnet-can|.* fd on)/);
    });
    await rig.step("the gateway does not start on it, and says why", async () => {
      const { code, err } = await program(fdCapable, `${compiled("gateway/bin/ipcnetd.js")} --config /tmp/fd.yaml`);
      assert.notEqual(code, 0);
      assert.match(err, /carries no FD frames as it is set up here/);
    });
    await rig.step("ipcnet-can leaves a classic controller as it is, and says why", async () => {
      const { code, err } = await program(classic, `${compiled("deploy/can/up.js")} /tmp/fd.yaml ${classic}`);
      assert.equal(code, 1);
      assert.match(err, /the controller of can\d has no CAN FD, and the configuration says fd: true\n\s+remedy: fd: false/);
      assert.match(await rig.sh(`ip link show ${classic}`, { quiet: true }), /\bUP\b/);
    });
    await rig.step("ipcnet-can sets the other one up: now the driver takes it", async () => {
      const { code } = await program(fdCapable, `${compiled("deploy/can/up.js")} /tmp/fd.yaml ${fdCapable}`);
      assert.equal(code, 0);
      const driver = await rig.driver();
      await driver.start({ name: "bus", kind: "socketcan", interface: fdCapable, bitrateBps: 500_000, dataBitrateBps: 2_000_000, fd: true });
      await driver.end();
    });
  },
});
