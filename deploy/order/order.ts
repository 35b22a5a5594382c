/** In which order running instances are restarted so that the buses keep an owner and programs keep their connections: standby, hand-over, the other; bus processes before gateways. Pure. */

export interface Running {
  /** Of the gateway: what `ipcnet failover status --json` and `ipcnet status --json` say; undefined: nobody answers. */
  gateway: { state: string; active: string; standby: { instance: string; ready: boolean } | undefined } | undefined;
  reflexes: readonly { instance: string; there: boolean; healthy: boolean; tableIsOurs: boolean; role: string; twinSeenMsAgo?: number }[];
  /** Units that run. */
  units: readonly string[];
}

export type Step =
  | { do: "restart"; unit: string }
  /** Until the standby can take over; `otherwise`: what is said when it never can. */
  | { do: "wait"; for: "reflexStandby" | "brainStandby" | "answers" }
  | { do: "switch"; which: "reflex" | "brain" };

export type Order = { ok: true; steps: readonly Step[]; gaps: readonly string[] } | { ok: false; why: string };

const PURGE = "ipcnet-purge.service";

/** States in which nothing may move, so that a hand-over that goes wrong ends in rest. */
const calm = new Set(["disarmed", "posed"]);

export function order({ gateway, reflexes, units }: Running): Order {
  const brains = units.filter((unit) => unit.startsWith("ipcnetd@"));
  const buses = units.filter((unit) => unit.startsWith("ipcnet-reflex@"));
  if (units.length === 0) return { ok: true, steps: [], gaps: [] };
  // Nobody misses it for a moment, and it is there again before a bus changes its owner.
  const purging = units.filter((unit) => unit === PURGE).map((unit): Step => ({ do: "restart", unit }));
  if (gateway === undefined) {
    // Whether it is armed nobody can say. The bus processes know, and run the safe pose when the gateway is gone: it is over long before an upgrade.
    if (brains.length > 0) return { ok: false, why: "the gateway runs and does not answer: whether the robot moves is not known" };
    return { ok: true, steps: [...purging, ...buses.map((unit): Step => ({ do: "restart", unit }))], gaps: buses.length === 0 ? [] : ["the buses have no owner for a moment"] };
  }
  if (!calm.has(gateway.state)) return { ok: false, why: `the gateway is ${gateway.state}` };
  const gaps: string[] = [];
  const steps: Step[] = [...purging];
  const owner = reflexes.find(({ role }) => role === "owner");
  const twin = reflexes.find(({ there, healthy, role, twinSeenMsAgo }) => there && healthy && role === "standby" && twinSeenMsAgo !== undefined);
  if (buses.length >= 2 && owner !== undefined && twin !== undefined && owner.healthy) {
    steps.push(
      { do: "restart", unit: reflexUnit(twin.instance) }, { do: "wait", for: "reflexStandby" }, { do: "switch", which: "reflex" },
      { do: "restart", unit: reflexUnit(owner.instance) }, { do: "wait", for: "reflexStandby" },
    );
  } else if (buses.length > 0) {
    steps.push(...buses.map((unit): Step => ({ do: "restart", unit })));
    gaps.push("the buses have no owner for a moment: there is no twin that could take over");
  }
  if (brains.length >= 2 && gateway.standby?.ready === true) {
    // The one that hands over ends by itself and is started anew, with the new files, by the service manager.
    steps.push({ do: "restart", unit: brainUnit(gateway.standby.instance) }, { do: "wait", for: "brainStandby" }, { do: "switch", which: "brain" }, { do: "wait", for: "brainStandby" });
  } else {
    steps.push(...brains.map((unit): Step => ({ do: "restart", unit })));
    if (brains.length > 0) {
      steps.push({ do: "wait", for: "answers" });
      gaps.push("programs have to connect again: there is no standby that could take over");
    }
  }
  return { ok: true, steps, gaps };
}

/** Whether what is waited for is there. */
export function isThere(what: Extract<Step, { do: "wait" }>["for"], { gateway, reflexes }: Running): boolean {
  switch (what) {
    case "answers":
      return gateway !== undefined;
    case "brainStandby":
      return gateway?.standby?.ready === true;
    case "reflexStandby":
      return reflexes.some(({ role, healthy }) => role === "owner" && healthy) && reflexes.some(({ there, healthy, tableIsOurs, role, twinSeenMsAgo }) => there && healthy && tableIsOurs && role === "standby" && twinSeenMsAgo !== undefined);
    default:
      return what satisfies never;
  }
}

function reflexUnit(instance: string): string {
  return `ipcnet-reflex@${instance}.service`;
}

function brainUnit(instance: string): string {
  return `ipcnetd@${instance}.service`;
}
