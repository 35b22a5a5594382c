/**
 * squatter.js SOCKET: reads a lane that it may read, takes its id, and waits for another gateway. Then, before the lane's owner comes back, it advertises a lane of its own with that id
 * under a topic of its own, and stays. Says what it is about to do, and what it was told.
 */
import { SocketError } from "../../../shm/sockets/index.ts";
import { describeLane } from "../../../shm/lanes/index.ts";
import { advert, smallLane } from "./attack.ts";
import { RawClient } from "./raw.ts";

const AGAIN_MS = 5;

async function openAgain(socketPath: string): Promise<RawClient> {
  for (;;) {
    try {
      const client = await RawClient.open(socketPath);
      // The old one may have died with us in its queue.
      if (client.ended === undefined) return client;
    } catch (error) {
      if (!(error instanceof SocketError)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

const [, , socketPath = ""] = process.argv;
const client = await RawClient.open(socketPath);
await client.ask({ op: "subscribe", pattern: "shared/#", policy: { queueSamples: 100 }, lanes: true });
const lane = await client.hears(({ op }) => op === "lane");
const laneId = lane && describeLane(lane.descriptors[0]!)?.laneId;
if (!laneId) throw new Error("no lane to read");
const own = await smallLane(laneId);
process.stdout.write(`${JSON.stringify("ready")}\n`);
await client.cutOff();
const next = await openAgain(socketPath);
const { status } = await next.ask(advert("open/mine"), [own.descriptor]);
process.stdout.write(`${JSON.stringify(status)}\n`);
// Something for those who take it for the other lane; and again and again its announcement, also when the other is there already.
setInterval(() => own.publish(new TextEncoder().encode("-1")), AGAIN_MS);
for (let advertised = 1; next.ended === undefined; advertised++) {
  await new Promise((resolve) => setTimeout(resolve, 10 * AGAIN_MS));
  await next.ask({ op: "unadvertise", advert: advertised });
  await next.ask(advert("open/mine"), [own.descriptor]);
}
