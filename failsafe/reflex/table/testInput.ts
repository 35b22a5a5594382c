/** Inputs of the table's compiler for tests: a bus with a command and a state, whatever else a test adds; and random ones. */
import { compileMessage, parseDbc, type Message } from "../../../schemas/dbc/index.ts";
import { drawFrom, type Draw } from "../../../schemas/dbc/random.ts";
import type { CompiledPlan, CompiledPlanSet, CompiledStep, CompiledTrigger } from "../../shutdown/compiled.ts";
import type { ReflexBusInput, ReflexCommandInput, ReflexMessage, ReflexTableInput } from "./compile.ts";
import { randomMessage } from "./randomMessage.ts";
import { serviceRows } from "./service.ts";

export const testBus: ReflexBusInput = {
  name: "arm", driver: "emulator", interface: "bus.sock", bitrateBps: 500_000, dataBitrateBps: undefined, fd: false, listenOnly: false, txQueueFrames: 16, deadAfterMs: 20, busLoadMaxPercent: 70,
  claimId: 0x10, host: 0, selfFenceMs: undefined, time: undefined,
};

const [move, state] = parseDbc(new TextEncoder().encode([
  "BU_: G N", "BO_ 33 Move: 8 G", ' SG_ crc : 0|16@1+ (1,0) [0|0] "" N', ' SG_ counter : 16|8@1+ (1,0) [0|0] "" N', ' SG_ epoch : 24|8@1+ (1,0) [0|0] "" N', ' SG_ v : 32|16@1- (0.01,0) [-10|10] "" N',
  "BO_ 34 State: 8 N", ' SG_ crc : 0|16@1+ (1,0) [0|0] "" G', ' SG_ counter : 16|8@1+ (1,0) [0|0] "" G', ' SG_ epoch : 24|16@1+ (1,0) [0|0] "" G', ' SG_ v : 40|16@1- (0.01,0) [-10|10] "" G', "",
].join("\n")), { file: "test.dbc" }).messages as [Message, Message];

const e2e = { profile: "P05", dataId: 7, lengthBytes: 8 } as const;
export const testCommand: ReflexCommandInput = {
  bus: "arm", message: move, lengthBytes: 8, e2e, epoch: "epoch", owner: undefined, filledIn: new Set(["crc", "counter", "epoch"]), filledBits: 0xff_ffffn, unprotected: false, ttlMsMax: 100, rateHzMax: 100, bits: 135, poseOnly: false,
};
export const testState: ReflexMessage = { bus: "arm", message: state, lengthBytes: 8, e2e: { ...e2e, dataId: 8 }, epoch: "epoch", owner: undefined };

export const stopStep: CompiledStep = {
  name: "stop", needs: [], sends: [{ bus: "arm", message: "Move", payload: new Uint8Array(8) }],
  conditions: [{ label: "can/arm/State v", bus: "arm", message: "State", field: { startBit: 40, bits: 16, bigEndian: false, signed: true, float: false }, rawMin: -2n, rawMax: 2n, holdUs: 50_000, ageUsMax: 100_000 }],
  deadlineUs: 500_000, tries: 1, backoffUs: 0, resendUs: 20_000, onTimeout: "continue", mandatory: true, onlyFallback: false,
};
export const stopPlan: CompiledPlan = { name: "stop", category: 2, budgetUs: 1_000_000, worstUs: 500_000, steps: [stopStep], lastRung: stopStep.sends };
const trigger = (on: CompiledTrigger["on"], priority: number): CompiledTrigger => ({ name: on, on, plan: 0, priority, latched: true, onlyArmed: false });

export const testInput: ReflexTableInput = {
  generation: 1, resumeArmed: true, drills: true, brainTimeoutMs: 1_000, beatPeriodMs: 20, twinDeadlineMs: 10, buses: [testBus], commands: [testCommand], services: [], measured: [testState],
  nodes: [{ name: "joint", bus: "arm", heartbeat: { canopen: 1 }, timeoutMs: 300, required: true }],
  plans: { plans: [stopPlan], triggers: [trigger("nodeLost", 150), trigger("busDead", 170), trigger("stop", 90), trigger("expired", 30), trigger("request", 10)] },
  powerFail: undefined,
};

/** Random messages as commands of two buses, one of them FD; nodes, a plan of several steps that sends some of them. */
export function randomInput(seed: number): ReflexTableInput {
  const draw = drawFrom(seed);
  const commands = Array.from({ length: 1 + draw(6) }, (_, index) => randomCommand(draw, index));
  const sendable = commands.flatMap((command) => {
    const payload = new Uint8Array(command.lengthBytes);
    return compileMessage(command.message, { checkRanges: true }).decode(payload, 0, payload.length).ok ? [{ bus: command.bus, message: command.message.name, payload }] : [];
  });
  const sends = sendable.length > 0 ? [sendable[draw(sendable.length)]!] : [{ bus: "arm", message: "Move", payload: new Uint8Array(8) }];
  const steps = Array.from({ length: 1 + draw(4) }, (_, index): CompiledStep => ({
    ...stopStep, name: `step${index}`, needs: index > 0 && draw(2) === 0 ? [draw(index)] : [], sends, conditions: draw(2) === 0 ? stopStep.conditions : [], tries: 1 + draw(3), backoffUs: draw(3) * 1000, resendUs: draw(2) * 20_000,
    onTimeout: (["continue", "fail", "last"] as const)[draw(3)]!, mandatory: draw(2) === 0,
  }));
  const plans: CompiledPlanSet = { plans: [{ ...stopPlan, steps, lastRung: sends, budgetUs: 60_000_000 }], triggers: testInput.plans.triggers };
  return {
    ...testInput, generation: draw(2 ** 31), commands: [testCommand, ...commands], plans,
    services: serviceRows([{ name: "joint", bus: "arm", number: 1, update: draw(2) === 0 }, { name: "other", bus: "fd", number: 1 + draw(127), update: true }], () => 135),
    buses: [{ ...testBus, time: draw(2) === 0 ? undefined : { id: 0x14, periodMs: 10 + draw(990) } }, { ...testBus, name: "fd", fd: true, claimId: draw(2) === 0 ? undefined : 0x1000, selfFenceMs: undefined, dataBitrateBps: 2_000_000 }],
    nodes: [...testInput.nodes, { name: "second", bus: "arm", heartbeat: { message: "State" }, timeoutMs: 1 + draw(60_000), required: draw(2) === 0 }],
  };
}

function randomCommand(draw: Draw, index: number): ReflexCommandInput {
  const message = { ...randomMessage(draw), name: `Random${index}`, canId: 0x200 + index };
  const { wireLengthBytes } = compileMessage(message);
  return { ...testCommand, bus: message.fd ? "fd" : (["arm", "fd"] as const)[draw(2)]!, message, lengthBytes: wireLengthBytes, e2e: undefined, epoch: undefined, filledIn: new Set(), filledBits: 0n, poseOnly: draw(4) === 0, rateHzMax: 1 + draw(1000), ttlMsMax: 1 + draw(60_000) };
}
