/**
 * A robot that really moves, on a machine with the package: a pair of reflexes on one controller of our module, as the package's own units run them; the arm's base joint on the other; a program that
 * commands it. How the interface comes to its bit rate is a part of what is tried: udev names it to systemd, systemd asks ipcnet-can.
 */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeArmFiles } from "../armFiles.ts";
import { armConfiguration, yamlOf } from "../armRig.ts";
import { withReflex } from "../reflexProcesses.ts";
import type { Running } from "./agent.ts";
import { type InstalledPackage, SLOW_MS } from "./package.ts";
import type { Rig } from "./rig.ts";

const OURS = "dcan0";
const PEERS = "dcan1";
/** Of a command: the program that gives it may be held up for seconds in a machine that is emulated. */
const LIFE_S = 5;
const FAR_RAD = 0.8;
/** How long the joint has to be at rest for a step to be reached: several looks of inside/watchedArm.ts. */
const AT_REST_MS = 200;
/** Of a command, as numbers in arm.dbc. */
const MODE = { hold: "1", move: "2", park: "3" } as const;

/** What the arm has said: each line with those of our services that lived then. */
export interface ArmLine {
  arm: { ready?: true; told?: string; rests?: number; moves?: number };
  alive: string[];
}

const PROGRAM = `
import ipcnet, sys, time
client = ipcnet.connect(name="mover", timeout=60)
while True:
    try:
        client.request("gateway/arm", {"why": "the rig"}, timeout=60)
        break
    except ipcnet.IpcnetError as error:
        print(error, file=sys.stderr, flush=True)
        time.sleep(0.2)
while True:
    try:
        client.publish("cmd/arm/base_Command", {"mode": "Move", "targetPosition": ${FAR_RAD}, "velocityLimit": 1.5}, ttl=${LIFE_S})
    except ipcnet.IpcnetError as error:
        print(error, file=sys.stderr, flush=True)
    time.sleep(0.1)
`;

/** As a person writes it who has one joint. Deadlines are generous: see hil-tests/rig/README.md about the machine's clock. */
function configurationText(): string {
  const made = armConfiguration(["base"], OURS);
  Object.assign(made, {
    socket: { path: "/run/ipcnet/ipcnet.sock", mode: "0660", group: "ipcnet" }, readers: [{ group: "ipcnet" }, { user: "root" }], operators: [{ user: "root" }],
  });
  Object.assign(made.buses[0]!, { driver: "socketcan", deadAfterMs: 3_000, txQueueFrames: 64, optional: true });
  made.nodes[0]!["timeoutMs"] = 10_000;
  Object.assign(made.commands[0]!, { ttlMsMax: LIFE_S * 1e3, writers: [{ user: "root" }] });
  withReflex(made, "pair");
  Object.assign(made["redundancy"] as object, { brains: "pair", twinDeadlineMs: 1_000, brainTimeoutMs: 60_000, runFolder: "/run/ipcnet", stateFolder: "/var/lib/ipcnet" });
  made.safePose["budgetMs"] = 15_000;
  for (const step of made.safePose["steps"] as { deadlineMs: number; until: { signal: string; ageMsMax: number }[] }[]) {
    step.deadlineMs = 7_000;
    // At home and at rest: a joint that is near its place may still be on its way there.
    const [first] = step.until;
    if (first !== undefined && !step.until.some(({ signal }) => signal === "velocity")) step.until.push({ ...first, signal: "velocity" });
    for (const condition of step.until) Object.assign(condition, { ageMsMax: 2_000, holdMs: AT_REST_MS });
  }
  return yamlOf(made);
}

export class MovingRobot {
  readonly #rig: Rig;
  #program: Running | undefined;

  private constructor(rig: Rig) {
    this.#rig = rig;
  }

  /** Set up, armed and on its way; the arm writes what it sees to the machine's console. */
  static async on(rig: Rig, installed: InstalledPackage): Promise<MovingRobot> {
    const robot = new MovingRobot(rig);
    // After a restart it still is.
    if (await robot.#isSetUp()) await installed.paired();
    else await rig.step("the package is set up for a bus that is not there yet", async () => {
      const folder = join(rig.machine.folder, "robot");
      mkdirSync(folder, { recursive: true });
      writeArmFiles(folder);
      writeFileSync(join(folder, "robot.yaml"), configurationText());
      rig.figure("ipcnet setup --config to healthy, s of the machine", (await installed.timed("ipcnet setup --yes --config /shared/robot/robot.yaml --watchdog none --start")).toFixed(1));
    });
    await rig.step("the controller appears: udev tells systemd, ipcnet-can sets it up", async () => {
      await installed.udev();
      await rig.modules();
      await installed.until("the interface, set up", async () => {
        const state = await installed.show(`ipcnet-can@${OURS}.service`, "ActiveState");
        assert.notEqual(state, "failed", state === "failed" ? await installed.journal("ipcnet-can@*") : "");
        return state === "active";
      });
      const shown = await rig.sh(`ip -details link show ${OURS}`, { quiet: true });
      assert.match(shown, /\bUP\b[^]*bitrate 500000\b/);
      assert.match(shown, /restart-ms 0\b/);
    });
    await rig.step("a joint is on the bus, a program commands it, and it moves", async () => {
      const from = robot.lines().length;
      // Nothing of what stops a system stops it: it is a device beside the machine.
      await rig.sh(`systemd-run --quiet --unit=rig-arm -p DefaultDependencies=no -p Nice=-15 -p StandardOutput=file:/dev/ttyS0 -p StandardError=journal ${rig.inside("watchedArm")} ${PEERS}`);
      await robot.#says(from, "ready", ({ arm }) => arm.ready === true);
      await rig.sh(`cat >/tmp/mover.py <<'END'\n${PROGRAM}END`, { quiet: true });
      const program = rig.start("exec /usr/bin/python3 /tmp/mover.py");
      robot.#program = program;
      await installed.until("motion", () => robot.lines().slice(from).some(({ arm }) => (arm.moves ?? 0) > 0), () => [program.err.slice(-1_000), robot.lines().slice(from)]);
      await robot.#says(from, "there", ({ arm }) => (arm.rests ?? 0) > FAR_RAD - 0.1);
    });
    return robot;
  }

  async #isSetUp(): Promise<boolean> {
    return (await this.#rig.run(`grep -q ${OURS} /etc/ipcnet/ipcnet.yaml && systemctl is-active -q ipcnet.target`, { quiet: true })).code === 0;
  }

  async #says(from: number, what: string, is: (line: ArmLine) => boolean): Promise<void> {
    await this.#rig.eventually(`the arm: ${what}`, () => this.lines().slice(from).some(is), () => this.lines().slice(from));
  }

  /** All that the arm has said since the machine was made. */
  lines(): ArmLine[] {
    return [...this.#rig.machine.console().matchAll(/^\{"arm":.*\}\r?$/gm)].map(([line]) => JSON.parse(line) as ArmLine);
  }

  /** Of what the arm has said since there were `from` lines: the plan's two steps and its end, while those still lived who ran it. */
  assertPosed(from: number): void {
    const lines = this.lines().slice(from);
    const at = (what: string, is: (line: ArmLine) => boolean): ArmLine => {
      const found = lines.find(is);
      assert.ok(found, `${what} is not among ${JSON.stringify(lines)}`);
      return found;
    };
    const stopped = at("the plan's stop", ({ arm }) => arm.told === MODE.hold);
    const parking = at("its way home", ({ arm }) => arm.told === MODE.park);
    const rests = at("its rest", ({ arm }) => arm.rests === 0);
    const [first, second, third] = [stopped, parking, rests].map((line) => lines.indexOf(line)) as [number, number, number];
    assert.ok(first < second && second < third, JSON.stringify(lines));
    for (const { alive } of [stopped, parking, rests]) {
      assert.ok(alive.some((unit) => unit.startsWith("ipcnetd@")), `a gateway lives until the arm is at rest: ${JSON.stringify(lines)}`);
      assert.ok(alive.includes("ipcnet-reflex@a") && alive.includes("ipcnet-reflex@b"), `the bus processes live until the arm is at rest: ${JSON.stringify(lines)}`);
    }
    assert.deepEqual(lines.slice(third + 1).filter(({ arm }) => arm.moves !== undefined || arm.told === MODE.move), [], "and it stays at rest");
  }

  /** The machine is as it was without it, but for the package's configuration. */
  async away(): Promise<void> {
    this.#program?.signal("SIGTERM");
    await this.#rig.sh("systemctl stop rig-arm.service || true; systemctl stop ipcnet.target; rmmod dcan || true; systemctl stop 'systemd-udevd*'", { timeoutMs: SLOW_MS });
  }
}
