/** Who a node is and what runs on it, read by SDO (CiA 301 objects 0x1018, 0x1008, 0x100A, and the kit's report 0x2F00). Pure. */
import { NodeCourse, number, sdo, type Course } from "./course.ts";
import { decodeReport, type FirmwareReport } from "./update.ts";

export interface NodeIdentity {
  vendor: number;
  product: number;
  revision: number | undefined;
  serial: number | undefined;
  /** What it calls itself; empty: nothing. */
  name: string;
  /** Its software's version in its own words (0x100A); empty: it has none. */
  software: string;
  /** Of a node that takes firmware over the bus. */
  report: FirmwareReport | undefined;
}

/** undefined: it does not answer, or has no identity. */
export type IdentityResult = { ok: true; identity: NodeIdentity } | { ok: false };

/** Longest name that is believed. */
const TEXT_CHARACTERS_MAX = 64;

/** Empty: it has no such object; undefined: nobody answered. */
function* text(index: number): Course<string | undefined> {
  const result = yield* sdo({ type: "read", index, subindex: 0 });
  return result.ok ? printable(result.bytes) : result.code === "aborted" ? "" : undefined;
}

function* course(): Course<IdentityResult> {
  const vendor = yield* number(0x1018, 1);
  if (vendor === undefined) return { ok: false };
  const product = yield* number(0x1018, 2);
  if (product === undefined) return { ok: false };
  const revision = yield* number(0x1018, 3);
  const serial = yield* number(0x1018, 4);
  const name = yield* text(0x1008);
  const software = name === undefined ? undefined : yield* text(0x100a);
  const report = software === undefined ? undefined : yield* sdo({ type: "read", index: 0x2f00, subindex: 1 });
  // Half an answer is none: what is missing would look like another node.
  if (name === undefined || software === undefined || !report || (!report.ok && report.code !== "aborted")) return { ok: false };
  return { ok: true, identity: { vendor, product, revision, serial, name, software, report: report.ok ? decodeReport(report.bytes) : undefined } };
}

export class IdentityReading extends NodeCourse<IdentityResult> {
  constructor(node: number, nowUs: number) {
    super(node, course(), nowUs);
  }
}

/** The version of what runs: the image's, if it tells (major.minor.patch), else its software's own words. */
export function firmwareVersion({ report, software }: Pick<NodeIdentity, "report" | "software">): string {
  return report ? versionText(report.version) : software;
}

export function versionText(version: number): string {
  return `${version >>> 24}.${(version >>> 16) & 0xff}.${version & 0xffff}`;
}

/** What a node says may be anything. */
function printable(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1").replace(/\0.*$/s, "").replaceAll(/[^\x20-\x7e]/g, "?").slice(0, TEXT_CHARACTERS_MAX);
}
