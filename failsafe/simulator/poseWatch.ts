/**
 * The pose within its bound, whatever else goes wrong: judged in the middle of the faults too, by time that was not disturbed.
 *
 * Two bounds for each owner that is on its way. The *run* ends, with whatever verdict, within the plan's budget and its last rung, counted while the process runs (a bus that is cut off is no excuse). And the
 * *joints* are safe within the same time, counted while the process runs and the wire is whole. What is disturbed lasts a sample longer, so that a dead-man that was fed last in it has run out.
 */
import type { Judge } from "./judge.ts";
import type { SimNode } from "./node.ts";
import type { ReflexProcess } from "./process.ts";
import { DEAD_MAN_US, PLAN } from "./robot.ts";
import type { EventQueue } from "./queue.ts";

/** Latencies of processes, bus and motors, over what the plan may take. */
export const POSE_SLACK_US = 60_000;
const RUN_BOUND_US = PLAN.budgetUs + PLAN.lastUs + POSE_SLACK_US;
const JOINTS_BOUND_US = RUN_BOUND_US + DEAD_MAN_US;
export const SAMPLE_US = 10_000;

interface Way {
  process: ReflexProcess;
  life: object;
  /** A higher trigger begins anew. */
  trigger: number;
  ranUs: number;
  undisturbedUs: number;
}

export class PoseWatch {
  /** The longest times seen, µs: how near to the bounds a run came. */
  readonly longest = { runUs: 0, jointsUs: 0 };
  readonly #time: EventQueue;
  readonly #nodes: readonly SimNode[];
  readonly #judge: Judge;
  readonly #ways = new Map<ReflexProcess, Way>();

  constructor({ time, nodes, judge }: { time: EventQueue; nodes: readonly SimNode[]; judge: Judge }) {
    this.#time = time;
    this.#nodes = nodes;
    this.#judge = judge;
  }

  /** To be called every `SAMPLE_US`; `isUndisturbed`: since the last call too, as far as anybody can see. */
  turn(processes: readonly ReflexProcess[], isUndisturbed: boolean): void {
    for (const process of processes) this.#look(process, isUndisturbed);
  }

  #look(process: ReflexProcess, isUndisturbed: boolean): void {
    const { core } = process;
    const isOwner = process.isAlive && process.role === "owner";
    if (!isOwner || core.arming < 2) {
      this.#ways.delete(process);
      return;
    }
    let way = this.#ways.get(process);
    if (core.arming === 2 && (!way || way.life !== process.life || way.trigger !== core.trigger)) {
      way = { process, life: process.life, trigger: core.trigger, ranUs: 0, undisturbedUs: 0 };
      this.#ways.set(process, way);
      return;
    }
    if (!way) return;
    // It turned in the last two milliseconds: then it ran in this sample.
    const runs = process.life.turnedUs >= this.#time.nowUs - 2_500 && process.stalledUntilUs <= this.#time.nowUs;
    if (!runs) return;
    way.ranUs += core.arming === 2 ? SAMPLE_US : 0;
    way.undisturbedUs += isUndisturbed ? SAMPLE_US : 0;
    const text = `${process.name}, trigger ${way.trigger}, arming ${core.arming}`;
    if (way.ranUs > RUN_BOUND_US) this.#judge.fail("poseEndless", `${text}: its run has lasted ${way.ranUs} µs of its own time`);
    const moving = this.#nodes.filter((node) => !node.isSafe);
    if (moving.length > 0 && way.undisturbedUs > JOINTS_BOUND_US) this.#judge.fail("poseNotReached", `${text}: ${moving.map(({ name }) => name).join(", ")} not safe after ${way.undisturbedUs} µs undisturbed`);
    if (core.arming === 2) this.longest.runUs = Math.max(this.longest.runUs, way.ranUs);
    if (moving.length > 0) this.longest.jointsUs = Math.max(this.longest.jointsUs, way.undisturbedUs);
  }
}
