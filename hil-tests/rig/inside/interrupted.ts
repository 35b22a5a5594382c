/**
 * In the machine: a safe pose that a reset of the machine interrupts. `interrupted.js FOLDER STATE begin` stops both reflexes while the joint is on its way, and says where it is left;
 * `interrupted.js FOLDER STATE finish POSITION` starts the reflexes again beside a joint that stands there, without a gateway first, and says what they made of it.
 * One line of JSON for each thing that happens. IPCNET_HIL_OURS and _PEERS name the two ends of the bus.
 */
import { mkdirSync } from "node:fs";
import { ARM_FOLDER, writeArmFiles } from "../../armFiles.ts";
import { yamlOf } from "../../armRig.ts";
import { eventually } from "../../waiting.ts";
import { Motor } from "./motor.ts";
import { Pair, pairConfiguration, PATIENCE_MS, spawnReflex } from "./pair.ts";

const [folder, state, part, position] = process.argv.slice(2) as [string, string, "begin" | "finish", string | undefined];
/** Slow enough to be interrupted on the way. */
const PARKING_RAD_S = 0.3;
const FROM_RAD = 0.8;
const say = (message: object): void => void process.stdout.write(`${JSON.stringify(message)}\n`);

const configuration = pairConfiguration(process.env["IPCNET_HIL_OURS"]!);
configuration.safePose["budgetMs"] = 600_000;
const [stop, park] = configuration.safePose["steps"] as [Record<string, unknown>, Record<string, unknown>];
Object.assign(stop, { deadlineMs: 60_000 });
Object.assign(park, { deadlineMs: 500_000, send: [{ bus: "arm", message: "base_Command", values: { mode: "Move", targetPosition: 0, velocityLimit: PARKING_RAD_S } }] });

mkdirSync(folder, { recursive: true });
writeArmFiles(folder);
const motor = new Motor(ARM_FOLDER, process.env["IPCNET_HIL_PEERS"]!, position === undefined ? {} : { positionRad: Number(position) });
motor.setPower(true);
const options = { state, words: ["--watchdog", "/dev/watchdog"] };

if (part === "begin") {
  const pair = await Pair.start(folder, yamlOf(configuration), options);
  await pair.arm();
  pair.commanding(FROM_RAD, 1.5);
  await pair.until("there", () => Math.abs(motor.joint.positionRad - FROM_RAD) < 0.01);
  say({ at: motor.joint.positionRad });
  // Whoever is asked is gone before it can answer; commands are refused from now on.
  pair.supervisor.safePose("a test of the reset").catch(() => undefined);
  await pair.until("on its way", () => motor.joint.positionRad < FROM_RAD - 0.1);
  // From here, because the machine's time flies beside the rig's.
  pair.freeze();
  say({ left: motor.joint.positionRad });
} else {
  // No gateway: what they know they have from the disk.
  const reflexes = (["a", "b"] as const).map((instance) => spawnReflex(folder, instance, options));
  let log = "";
  for (const { stdout, stderr } of reflexes) for (const stream of [stdout, stderr]) stream.setEncoding("utf8").on("data", (text: string) => (log += text));
  await eventually("parked", () => Math.abs(motor.joint.positionRad) < 0.02 && Math.abs(motor.joint.velocityRadS) < 0.01, { timeoutMs: 3 * PATIENCE_MS, last: () => [motor.joint.positionRad, motor.joint.counters, log] });
  say({ parked: motor.joint.positionRad });
  const pair = await Pair.start(folder, yamlOf(configuration), { ...options, starts: false });
  await pair.until("the end of the plan, told", () => pair.supervisor.state === "posed" || pair.supervisor.state === "fault");
  const resumed = await pair.until("how often it was gone on with", () => {
    const counts = pair.client.ends.map(({ status }) => status?.plansResumed ?? 0);
    return counts.some((count) => count > 0) && counts;
  });
  say({ state: pair.supervisor.state, resumed, refusals: await pair.supervisor.arm("test") });
  await pair.end();
  for (const reflex of reflexes) reflex.kill("SIGKILL");
  motor.stop();
}
