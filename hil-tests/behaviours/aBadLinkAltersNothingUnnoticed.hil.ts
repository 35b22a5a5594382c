/*
 * Not reordered: one sender's frames of one identifier cannot overtake each other on CAN, and a counter judge that follows a sender's restart (`resyncFrames`) takes three older frames in
 * unbroken sequence for one. Tried with netem's reorder, 1 in 100 was accepted behind a newer one.
 */
import { behaviour } from "../rig/behaviour.ts";

export default behaviour({
  name: "a link that loses, alters, doubles and delays frames: nothing altered is accepted, nothing twice, nothing late",
  needs: { machine: "plain", devices: ["vxcan"], alsoOn: ["arm64"] },
  bench: "tc qdisc netem on the sender's interface does the same in front of a real bus; a real bus alters next to nothing",
  async run(rig) {
    const [ours, peers] = await rig.pair("vxcan");
    await rig.sh(`modprobe sch_netem; tc qdisc replace dev ${peers} root netem delay 5ms loss 5% corrupt 10% duplicate 5% limit 4000`);
    await rig.ownClock();
    await rig.tests("crc", { environment: { IPCNET_HIL_OURS: ours, IPCNET_HIL_PEERS: peers } });
    const told = /# (\{"sent".*\})/.exec(rig.log)?.[1];
    if (told !== undefined) for (const [key, value] of Object.entries(JSON.parse(told) as Record<string, number>)) rig.figure(key, value);
  },
});
