// Asks for a sum. The other end: service.ts, or the one in another language.
import { connect } from "../../shm/client/index.ts"; // elsewhere: from "ipcnet"

const [a, b] = process.argv.length > 3 ? process.argv.slice(2).map(Number) : [2, 3];
const client = await connect({ name: "caller" });
const { sum } = (await client.request("talk/add", { a, b })) as { sum: number };
console.log(sum);
await client.close();
