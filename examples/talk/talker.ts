// Says hello twice a second. The other end: listener.ts, or the one in another language.
import { connect } from "../../shm/client/index.ts"; // elsewhere: from "ipcnet"

const client = await connect({ name: "talker", reconnect: true });
const hello = await client.advertise("talk/hello", { encoding: "cbor" });
let count = 0;
setInterval(() => hello.publish({ text: "hello from TypeScript", count: (count += 1) }), 500);
