/** What nodes say of themselves and what is said to them, wired: errors by EMCY for all that speak CANopen, care for those that the configuration lists for it. */
import type { Emcy, NodeFrame } from "../../drivers/nodekit/canopen.ts";
import type { Node } from "../../schemas/messages/config.ts";
import type { NodeReport } from "../../schemas/messages/statusReport.ts";
import type { Due } from "../gateway.ts";
import { NodeCare, type CarePorts } from "../nodes/care.ts";
import { NodeErrors } from "../nodes/errors.ts";
import type { NodeEvent } from "../nodes/monitor.ts";
import type { NodesSay } from "./buses.ts";

export class CareOfNodes implements NodesSay, Due {
  readonly nodes: NodeCare;
  readonly #names: readonly string[];
  readonly #errors: ReadonlyMap<string, NodeErrors>;
  readonly #ports: CarePorts;

  constructor(nodes: readonly Node[], ports: CarePorts) {
    this.nodes = new NodeCare(nodes, ports);
    this.#names = nodes.map(({ name }) => name);
    this.#errors = new Map(nodes.flatMap(({ name, heartbeat }) => ("canopen" in heartbeat ? [[name, new NodeErrors()]] : [])));
    this.#ports = ports;
  }

  emcy(nodeIndex: number, emcy: Emcy, timeUs: number): void {
    const name = this.#names[nodeIndex]!;
    const news = this.#errors.get(name)?.hear(emcy, timeUs);
    if (!news) return;
    const details = { node: name, errorRegister: news.register };
    const code = (each: number): string => `0x${each.toString(16).toUpperCase().padStart(4, "0")}`;
    if (news.type === "error") this.#ports.event({ severity: "warning", code: "nodeError", source: name, text: `node ${name}: ${news.text} (EMCY ${code(news.code)})`, details: { ...details, code: news.code } });
    else this.#ports.event({ severity: "info", code: "nodeErrorOver", source: name, text: `node ${name}: ${news.codes.map(code).join(", ")} ${news.codes.length === 1 ? "is" : "are"} over`, details: { ...details, codes: news.codes } });
  }

  heard(bus: string, frame: NodeFrame): void {
    this.nodes.hear(bus, frame, this.#ports.nowUs());
  }

  moved(bus: string): void {
    this.nodes.moved(bus);
  }

  nodeEvent(event: NodeEvent): void {
    // Also of one that was lost: what it complained of in its life before is over.
    if ((event.type === "stateChanged" || event.type === "returned") && event.state === "bootUp") this.#errors.get(event.node.name)?.clear();
    this.nodes.nodeEvent(event);
  }

  missing(isThere: (node: string) => boolean): string[] {
    return this.nodes.missing(isThere);
  }

  report(name: string, nowUs: number): Partial<NodeReport> {
    const errors = this.#errors.get(name);
    const identity = this.nodes.identityOf(name);
    const updateProgress = this.nodes.progressOf(name);
    return {
      ...(identity ? { identity } : {}), ...(updateProgress === undefined ? {} : { updateProgress }),
      ...(errors && errors.codes.length > 0 ? { errors: errors.codes.map(({ code, text, sinceUs, count }) => ({ code, text, msAgo: Math.max(0, nowUs - sinceUs) / 1e3, count })) } : {}),
      ...(errors && errors.register.length > 0 ? { errorRegister: errors.register } : {}),
    };
  }

  poll(nowUs: number): void {
    this.nodes.poll(nowUs);
  }

  nextDeadlineUs(nowUs: number): number | undefined {
    return this.nodes.nextDeadlineUs(nowUs);
  }
}
