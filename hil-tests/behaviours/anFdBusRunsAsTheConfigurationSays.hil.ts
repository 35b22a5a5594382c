import assert from "node:assert/strict";
import { behaviour } from "../rig/behaviour.ts";
import type { Rig } from "../rig/rig.ts";

/** How a person writes it; sample points are those of an arm whose motors insist on theirs. */
const configuration = (name: string, more = "", fd = true): string => `version: 1
robot: fd
buses:
  - { name: bus, interface: ${name}, bitrateBps: 500000, txQueueFrames: 32, fd: ${fd}${more} }
`;

const RATES = ", samplePointPercent: 80, dataBitrateBps: 2000000, dataSamplePointPercent: 70";

/** What ipcnet-can@.service runs. */
async function setUp(rig: Rig, text: string, name: string): Promise<string> {
  await rig.sh(`cat >/tmp/fd.yaml <<'END'\n${text}END`, { quiet: true });
  const { code, err } = await rig.run(`${rig.place.node} ${rig.file("dist/ts/deploy/can/up.js")} /tmp/fd.yaml ${name}`);
  return `${code} ${err}`;
}

interface Shown {
  mtu: number;
  txqlen: number;
  linkinfo: { info_data: { restart_ms?: number; bittiming: { bitrate: number; sample_point: string }; data_bittiming?: { bitrate: number; sample_point: string }; ctrlmode?: string[] } };
}

async function shown(rig: Rig, name: string): Promise<Shown> {
  return (JSON.parse(await rig.sh(`ip -d -j link show ${name}`, { quiet: true })) as [Shown])[0];
}

export default behaviour({
  name: "an FD bus runs as the configuration says: ipcnet-can sets both bit rates and sample points, frames of 64 bytes pass with the bit rate switched, the bus confirms ours",
  needs: { machine: "plain", devices: ["dcan"], alsoOn: ["arm64"] },
  bench: "ipcnet-can@can0 with fd: true and dataBitrateBps, a second FD controller on the bus: ip -d -j link show can0, candump, cansend 123##1…",
  async run(rig) {
    const [ours, theirs] = await rig.pair("dcan", { dataBitrateBps: 2_000_000 });
    await rig.step("an interface that was classic at another rate is in FD mode at the configuration's rates and sample points", async () => {
      await rig.sh(`ip link set ${ours} down; ip link set ${ours} type can bitrate 250000 fd off restart-ms 100 listen-only on; ip link set ${ours} up`);
      assert.match(await setUp(rig, configuration(ours, RATES), ours), /^0 .*is up as bus bus at 500000 bit\/s, data phase 2000000 bit\/s/);
      const { mtu, txqlen, linkinfo: { info_data: { restart_ms = 0, bittiming, data_bittiming, ctrlmode } } } = await shown(rig, ours);
      assert.deepEqual([mtu, txqlen, restart_ms], [72, 32, 0]);
      assert.deepEqual([bittiming.bitrate, Number(bittiming.sample_point), data_bittiming?.bitrate, Number(data_bittiming?.sample_point)], [500_000, 0.8, 2_000_000, 0.7]);
      assert.deepEqual(ctrlmode?.filter((mode) => mode === "FD" || mode === "LISTEN-ONLY"), ["FD"]);
    });
    await rig.step("asked again it leaves it alone; at another data bit rate it does not", async () => {
      const index = async (): Promise<string> => (await rig.sh(`cat /sys/class/net/${ours}/carrier_changes`, { quiet: true })).trim();
      const before = await index();
      assert.match(await setUp(rig, configuration(ours, RATES), ours), /^0 .*left alone/);
      assert.equal(await index(), before);
      assert.match(await setUp(rig, configuration(ours, ", dataBitrateBps: 4000000"), ours), /^0 .*data phase 4000000 bit\/s/);
      assert.equal((await shown(rig, ours)).linkinfo.info_data.data_bittiming?.bitrate, 4_000_000);
    });
    await rig.step("FD without a data bit rate: the nominal one, which the kernel wants to be told", async () => {
      await rig.sh(`ip link set ${ours} down; ip link set ${ours} type can bitrate 500000 fd off`);
      assert.match(await setUp(rig, configuration(ours), ours), /^0 .*data phase 500000 bit\/s/);
      assert.equal((await shown(rig, ours)).linkinfo.info_data.data_bittiming?.bitrate, 500_000);
    });
    await rig.step("our driver refuses an interface whose data phase is another than configured, with the command that mends it", async () => {
      const driver = await rig.driver();
      await assert.rejects(driver.start({ name: "bus", kind: "socketcan", interface: ours, bitrateBps: 500_000, dataBitrateBps: 2_000_000, fd: true }),
        (error: Error & { remedy?: string }) => /data phase/.test(error.message) && /bitrate 500000 dbitrate 2000000 fd on/.test(error.remedy ?? ""));
      await driver.end();
      assert.match(await setUp(rig, configuration(ours, RATES), ours), /^0 /);
    });

    const dump = await rig.candump(theirs);
    const driver = await rig.driver();
    const { confirms, link } = await driver.start({ name: "bus", kind: "socketcan", interface: ours, bitrateBps: 500_000, dataBitrateBps: 2_000_000, fd: true });
    assert.ok(confirms);
    assert.deepEqual([link?.fd, link?.bitrateBps, link?.dataBitrateBps], [true, 500_000, 2_000_000]);
    const bytes = (count: number): string => Buffer.from(Array.from({ length: count }, (_, at) => at * 3 & 0xff)).toString("hex").toUpperCase();
    // ##1: with a switch of the bit rate; ##0: without; one of them classic.
    const frames = [`123##1${bytes(64)}`, `1ABCDE00##1${bytes(64)}`, `124##0${bytes(48)}`, `125##1${bytes(12)}`, "126##1", "127#0102030405060708"];
    await rig.step("ours arrive at candump unchanged and in order", async () => {
      for (const [index, frame] of frames.entries()) assert.equal(await driver.send(frame, { token: index + 1 }), "queued");
      await rig.eventually("the frames at candump", () => dump.frames.length >= frames.length, () => dump.frames);
      // CANFD_FDF (4), by which the kernel marks what is an FD frame, is no bit of the frame's own.
      assert.deepEqual(dump.frames.map((frame) => frame.replace(/##[4-7]/, (flags) => `##${Number(flags.at(-1)) - 4}`)), frames);
    });
    await rig.step("each is confirmed once, with its token", async () => {
      await rig.eventually("the echoes", async () => (await driver.seen()).echoes >= frames.length);
      assert.deepEqual((await driver.seen()).echoFrames.map(({ text, token }) => [text, token]), frames.map((frame, index) => [frame, index + 1]));
    });
    await rig.step("cansend's arrive here", async () => {
      const sent = [`321##1${bytes(64)}`, `00000321##1${bytes(20)}`, "322#11"];
      await rig.sh(sent.map((frame) => `cansend ${theirs} ${frame}`).join(" && "));
      await rig.eventually("the frames here", async () => (await driver.seen()).received >= sent.length);
      assert.deepEqual((await driver.seen()).frames.map(({ text }) => text), sent);
    });
    await driver.end();
    await dump.end();
  },
});
