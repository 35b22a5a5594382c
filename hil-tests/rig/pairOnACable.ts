/** Tests of inside/ that have a pair of reflexes at one end of a cable and the arm's base joint at the other, on the kernel's CAN and by the machine's own clock. */
import { FD_BUS } from "../armFiles.ts";
import type { Rig } from "./rig.ts";

/** How long dcan's cable takes for a frame, µs. */
const FRAME_US = 150;

/** `fd`: the arm with FD frames; `only`: of the tests. What they leave as their log is in the report, also when they fail. */
export async function testsOnACable(rig: Rig, name: string, { fd = false, only }: { fd?: boolean; only?: string } = {}): Promise<void> {
  const [ours, motors] = await rig.pair("dcan", fd ? { dataBitrateBps: FD_BUS.dataBitrateBps } : {});
  const log = `/tmp/${name}.log`;
  await rig.sh(`ip link set ${ours} down; ip link set ${motors} down; echo ${FRAME_US} >/sys/module/dcan/parameters/frame_us`);
  await rig.ownClock();
  try {
    await rig.tests(name, { ...(only === undefined ? {} : { only }), environment: { IPCNET_HIL_OURS: ours, IPCNET_HIL_PEERS: motors, IPCNET_HIL_LOG: log, ...(fd ? { IPCNET_HIL_FD: "1" } : {}) } });
  } finally {
    rig.log += (await rig.run(`cat ${log}`, { quiet: true })).out;
  }
}
