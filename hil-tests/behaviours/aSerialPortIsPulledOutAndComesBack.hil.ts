import assert from "node:assert/strict";
import { connect } from "node:net";
import { join } from "node:path";
import { createSerialDriver } from "../../drivers/serial/driver.ts";
import { streamPort } from "../../drivers/serial/streamPort.ts";
import { behaviour } from "../rig/behaviour.ts";

const DATA_ID = 0x48414e44;

export default behaviour({
  name: "a USB serial adapter is pulled out in use and put back: lost at once, found again, and nothing that was sent meanwhile arrives",
  needs: { machine: "plain", devices: ["usbSerial"] },
  bench: "pull the microcontroller's USB cable and put it back; the port's name is one of /dev/serial/by-id",
  async run(rig) {
    await rig.sh("modprobe xhci_pci; modprobe ftdi_sio; for i in $(seq 100); do [ -c /dev/ttyUSB0 ] && exit 0; sleep 0.1; done; exit 1");
    const line = connect(join(rig.machine.folder, "usb"));
    // This end lives by the host's clock, beside which the machine's may crawl.
    const device = createSerialDriver({ name: "device", port: streamPort("usb", line), dataId: DATA_ID, role: "device", silenceTimeoutMs: 60_000 });
    const heard: number[] = [];
    device.onFrames(({ body }) => void heard.push(new DataView(body.buffer, body.byteOffset).getUint32(0, true)));
    const gateway = rig.start(`exec ${rig.inside("serialShell")} /dev/ttyUSB0 ${DATA_ID}`, { input: true });
    const verdicts = new Map<number, string>();
    const events: string[] = [];
    gateway.onLine = (text) => {
      const [what, number] = text.split(" ");
      if (what === "event") {
        events.push(text);
        rig.note(text);
      } else if (what !== "heard") verdicts.set(Number(number), what!);
    };
    const told = (code: string, from: number): Promise<string> => rig.eventually(`event ${code}`, () => events.slice(from).find((text) => text.startsWith(`event ${code} `)), () => `${events.join("\n")}\n${gateway.err}`);
    try {
      await device.start();
      await rig.step("in use", async () => void (await rig.eventually("ten messages", () => heard.length >= 10, () => `${gateway.out.slice(-800)}${gateway.err}`)));
      let from = events.length;
      await rig.step("pulled out: lost, and refused", async () => {
        await rig.machine.qmp.order("device_del", { id: "usbSerial0" });
        await told("linkLost", from);
        const refused = await rig.eventually("a refusal", () => [...verdicts].reverse().find(([, verdict]) => verdict !== "queued"));
        assert.equal(refused[1], "linkDown");
      });
      from = events.length;
      await rig.step("put back: found, and what is sent now arrives", async () => {
        const last = heard.at(-1)!;
        await rig.machine.qmp.order("device_add", { driver: "usb-serial", chardev: "usbSerial", id: "usbSerial1", bus: "usb.0", "always-plugged": true });
        await told("linkRestored", from);
        await rig.eventually("messages again", () => heard.at(-1)! > last + 5, () => `${events.slice(-6).join("\n")}\n${gateway.out.slice(-500)}`);
      });
      assert.deepEqual(heard.filter((number, index) => index > 0 && number <= heard[index - 1]!), [], "in order, each once");
      assert.deepEqual(heard.filter((number) => verdicts.has(number) && verdicts.get(number) !== "queued"), [], "what was refused never arrives");
    } finally {
      gateway.signal("SIGKILL");
      await device.stop();
      line.destroy();
    }
  },
});
