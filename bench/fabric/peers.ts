/** Everybody who is compared. */
import type { Peer } from "./peer.ts";
import { childIpc } from "./peers/childIpc.ts";
import { dbus } from "./peers/dbus.ts";
import { ipcnet } from "./peers/ipcnet.ts";
import { aedes, mosquitto } from "./peers/mqtt.ts";
import { nats } from "./peers/nats.ts";
import { uds } from "./peers/uds.ts";
import { zeromq } from "./peers/zeromq.ts";

export const peers: readonly Peer[] = [ipcnet, uds, childIpc, zeromq, mosquitto, aedes, nats, dbus];

export function findPeer(name: string): Peer {
  const peer = peers.find((each) => each.name === name);
  if (!peer) throw new Error(`there is no peer ${name}`);
  return peer;
}
