// Prints what anybody says. The other end: talker.ts, or the one in another language.
import { connect } from "../../shm/client/index.ts"; // elsewhere: from "ipcnet"

const client = await connect({ name: "listener", reconnect: true });
await client.subscribe("talk/hello", { policy: { queue: 64 } }, ({ sequence, value, lostBefore }) => {
  console.log(sequence, JSON.stringify(value), lostBefore > 0 ? `${lostBefore} lost` : "");
});
