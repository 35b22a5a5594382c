/** A healthy MQTT client that counts what it gets. */
import { connectAsync } from "mqtt";
import { serve } from "./rpc.ts";

let received = 0;

serve({
  async subscribe({ port, topic }: { port: number; topic: string }) {
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { clientId: "bench-healthy", reconnectPeriod: 0 });
    client.on("message", () => {
      received += 1;
    });
    await client.subscribeAsync(topic);
  },
  received: () => received,
});
