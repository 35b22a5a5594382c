/** The resources of the configuration in force, as the broker sees them. */
import type { Clock } from "../../schemas/clock.ts";
import type { Resource } from "../../schemas/messages/config.ts";
import { Status } from "../../schemas/status.ts";
import type { GrantMode } from "../../shm/protocol/serviceMessages.ts";
import type { GrantResult, ResourceDescription, ResourceTable } from "../broker/ports.ts";
import { openResource, ResourceTrouble } from "./open.ts";

export class Grants implements ResourceTable {
  readonly #resources: () => readonly Resource[];
  readonly #clock: Clock;

  /** `resources`: those of the configuration in force, asked each time. */
  constructor(resources: () => readonly Resource[], clock: Clock) {
    this.#resources = resources;
    this.#clock = clock;
  }

  list(): ResourceDescription[] {
    return this.#resources().map((resource) => ({ name: resource.name, kind: kindOf(resource), modes: modesOf(resource), description: resource.description }));
  }

  async open(name: string, mode: GrantMode): Promise<GrantResult> {
    const resource = this.#resources().find((each) => each.name === name);
    if (!resource) return { status: Status.notFound, text: `there is no resource ${name}` };
    try {
      return { status: Status.ok, text: "", descriptor: await openResource(resource, mode, this.#clock) };
    } catch (error) {
      if (!(error instanceof ResourceTrouble)) throw error;
      return { status: Status.badGateway, text: error.message };
    }
  }
}

function kindOf(resource: Resource): ResourceDescription["kind"] {
  return "device" in resource ? "device" : "directory" in resource ? "directory" : "file" in resource ? "file" : "connect";
}

/** The first is what is given when nothing is said. A folder is read; a connection goes both ways. */
function modesOf(resource: Resource): readonly GrantMode[] {
  return "directory" in resource ? ["read"] : "connect" in resource ? ["readWrite"] : resource.modes;
}
