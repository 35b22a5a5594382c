/** The service about the reflexes: what they say of themselves, a planned hand-over, drills. */
import type { ReflexClient } from "../../failsafe/reflex/client/client.ts";
import type { Reply } from "../../failsafe/reflex/client/end.ts";
import { reflexReport } from "../../failsafe/reflex/client/report.ts";
import { Status } from "../../schemas/status.ts";
import type { ServiceReply } from "./services.ts";

export interface ReflexPort {
  client: Pick<ReflexClient, "ends" | "switchOver" | "table">;
  drills: boolean;
}

const none: ServiceReply = { status: Status.preconditionFailed, text: "this gateway opens its buses itself: redundancy.reflex is none" };

export async function reflexService({ action = "status", instance, stop, to = "twin" }: Readonly<Record<string, unknown>>, port: ReflexPort | undefined): Promise<ServiceReply> {
  if (!port) return none;
  const { client, drills } = port;
  switch (action) {
    case "status": return { status: Status.ok, body: client.ends.map(reflexReport) };
    case "table": return { status: Status.ok, body: { table: Buffer.from(client.table.bytes).toString("base64") } };
    case "switch":
      if (to !== "twin" && to !== "host") return { status: Status.badRequest, text: "to is twin or host" };
      return answerOf(await client.switchOver(to), () => client.ends.map(reflexReport));
    case "kill": {
      if (!drills) return { status: Status.forbidden, text: "the configuration allows no drills (redundancy.drills)" };
      const end = client.ends.find((each) => each.instance === instance);
      if (!end) return { status: Status.notFound, text: "there is no such reflex: a or b" };
      if (!end.isReady) return { status: Status.preconditionFailed, text: `reflex ${end.instance} is not there: ${end.why}` };
      // Whoever dies does not answer.
      void end.drill(stop === true ? "stop" : "kill");
      return { status: Status.ok, body: { killed: `reflex-${end.instance}` } };
    }
    default: return { status: Status.badRequest, text: "action is status, table, switch or kill" };
  }
}

function answerOf(reply: Reply, body: () => unknown): ServiceReply {
  if (reply.code === "done") return { status: Status.ok, body: body() };
  return { status: reply.code === "away" ? Status.serviceUnavailable : Status.preconditionFailed, text: reply.text || `the reflex says ${reply.code}` };
}
