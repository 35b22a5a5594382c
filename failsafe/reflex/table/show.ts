/** A table for people (`ipcnet reflex table`): names instead of numbers. */
import { dataIdModes, busFlags, busDrivers, messageFlags, NO_CLAIM_ID, nodeFlags, NONE, onTimeouts, profileNumbers, stepFlags, tableFlags, triggerFlags, triggerKinds, type E2eRow, type TableRows } from "./layout.ts";
import { readTable, tableText } from "./read.ts";

export type ShownTable = ReturnType<typeof show>;

export function showTable(bytes: Uint8Array): { ok: true; table: ShownTable } | { ok: false; code: string; text: string } {
  const read = readTable(bytes);
  return read.ok ? { ok: true, table: show(read.table) } : read;
}

function show({ head, hash, rows }: { head: { generation: number; flags: number; brainTimeoutUs: number; beatPeriodUs: number; twinDeadlineUs: number }; hash: Uint8Array; rows: TableRows }) {
  const text = (at: number): string => tableText(rows, at);
  const messageName = (row: number): string => text(rows.messages[row]?.name ?? 0);
  const run = <Row>(list: readonly Row[], first: number, count: number): readonly Row[] => list.slice(first, first + count);
  const stepName = (row: number): string => text(rows.steps[row]?.name ?? 0);
  const sends = (first: number, count: number) => run(rows.sends, first, count).map(({ message, payload, lengthBytes }) => `${messageName(message)} ${Buffer.from(rows.bytes.subarray(payload, payload + lengthBytes)).toString("hex")}`);
  const steps = (first: number, count: number) => run(rows.steps, first, count).map((step) => ({
    name: text(step.name), needs: run(rows.needs, step.needsFirst, step.needsCount).map(stepName), send: sends(step.sendsFirst, step.sendsCount),
    until: run(rows.conditions, step.conditionsFirst, step.conditionsCount).map(({ label }) => text(label)), ...(step.call === NONE ? {} : { call: step.call }),
    deadlineMs: step.deadlineUs / 1e3, tries: step.tries, backoffMs: step.backoffUs / 1e3, resendMs: step.resendUs / 1e3, onTimeout: onTimeouts[step.onTimeout] ?? "?", ...(step.fallback === NONE ? {} : { fallback: stepName(step.fallback) }),
    mandatory: (step.flags & stepFlags.mandatory) !== 0, onlyFallback: (step.flags & stepFlags.fallbackOnly) !== 0,
  }));
  return {
    generation: head.generation, hash: Buffer.from(hash).toString("hex"), resumeArmed: (head.flags & tableFlags.resumeArmed) !== 0, drills: (head.flags & tableFlags.drills) !== 0,
    brainTimeoutMs: head.brainTimeoutUs / 1e3, beatPeriodMs: head.beatPeriodUs / 1e3, twinDeadlineMs: head.twinDeadlineUs / 1e3,
    buses: rows.buses.map((bus) => ({
      name: text(bus.name), driver: busDrivers[bus.driver] ?? "?", interface: text(bus.interface), bitrateBps: bus.bitrateBps, fd: (bus.flags & busFlags.fd) !== 0, listenOnly: (bus.flags & busFlags.listenOnly) !== 0,
      claimId: bus.claimId === NO_CLAIM_ID ? null : bus.claimId, host: bus.host, selfFenceMs: bus.selfFenceUs / 1e3, deadAfterMs: bus.deadAfterUs / 1e3, loadPercentMax: bus.loadPermilleMax / 10,
      ...(bus.timePeriodUs === 0 ? {} : { timeId: bus.timeId, timePeriodMs: bus.timePeriodUs / 1e3 }),
    })),
    messages: rows.messages.map((message) => ({
      name: text(message.name), bus: text(rows.buses[message.bus]?.name ?? 0), canId: message.canId, lengthBytes: message.lengthBytes, poseOnly: (message.flags & messageFlags.poseOnly) !== 0, ...((message.flags & messageFlags.service) === 0 ? {} : { onlyDisarmed: true }), ttlMsMax: message.ttlUsMax / 1e3,
      rateHzMax: Math.round(1e6 / Math.max(1, message.intervalUsMin)), checks: message.checksCount, protection: profileOf(message.e2e), epochBits: message.epoch.bits, ownerBits: message.owner.bits,
      ...(message.expiredTrigger === NONE ? {} : { whenExpired: text(rows.triggers[message.expiredTrigger]?.name ?? 0) }),
    })),
    watches: rows.watches.map((watch) => ({ name: text(watch.name), bus: text(rows.buses[watch.bus]?.name ?? 0), canId: watch.canId, lengthBytes: watch.lengthBytes, protection: profileOf(watch.e2e), witness: watch.epoch.bits > 0 })),
    nodes: rows.nodes.map((node) => ({
      name: text(node.name), timeoutMs: node.timeoutUs / 1e3, heartbeat: text(rows.watches[node.watch]?.name ?? 0), required: (node.flags & nodeFlags.required) !== 0, ...(node.group === 0 ? {} : { group: node.group }),
      ...(node.lostTrigger === NONE ? {} : { whenLost: text(rows.triggers[node.lostTrigger]?.name ?? 0) }),
    })),
    plans: rows.plans.map((plan) => ({ name: text(plan.name), category: plan.category, budgetMs: plan.budgetUs / 1e3, worstMs: plan.worstUs / 1e3, steps: steps(plan.stepsFirst, plan.stepsCount), lastRung: sends(plan.lastFirst, plan.lastCount) })),
    triggers: rows.triggers.map(({ name, kind, priority, plan, flags, chip, line, debounceUs }) => ({
      name: text(name), on: triggerKinds[kind] ?? "?", priority, plan: text(rows.plans[plan]?.name ?? 0), latched: (flags & triggerFlags.latched) !== 0, onlyWhileArmed: (flags & triggerFlags.onlyWhileArmed) !== 0,
      ...((flags & triggerFlags.pin) === 0 ? {} : { pin: { chip: text(chip), line: (flags & triggerFlags.named) === 0 ? line : text(line), activeLow: (flags & triggerFlags.activeLow) !== 0, debounceUs } }),
    })),
  };
}

function profileOf({ profile, dataId, dataIdMode }: E2eRow): string {
  const name = (Object.keys(profileNumbers) as (keyof typeof profileNumbers)[]).find((each) => profileNumbers[each] === profile);
  return name === undefined ? "none" : `${name} ${dataId} ${dataIdModes[dataIdMode] ?? "?"}`;
}
