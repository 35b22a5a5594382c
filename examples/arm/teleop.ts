/**
 * What moves the demonstration arm: a slow wave through its joints, which the hand controller's stick bends. A client like any other:
 * it subscribes, and publishes commands with a time to live; when it stops, the joints stop by themselves. Pure; `run.ts` connects it.
 */
export const JOINTS = ["base", "shoulder", "elbow", "forearm", "wrist", "gripper"] as const;
export type JointName = (typeof JOINTS)[number];

/** Commands go out this often. When one has outlived its time and none has come after it, the reflex runs the safe pose: so they live for as long as this machine may keep us waiting. */
export const COMMAND_PERIOD_MS = 20;
export const COMMAND_TTL_MS = 1_000;

export interface Stick {
  x: number;
  y: number;
  grip: number;
  enable: number;
}

export interface JointCommand {
  joint: JointName;
  values: { mode: "Move"; targetPosition: number; velocityLimit: number };
}

/** One turn of the wave, s. */
const WAVE_PERIOD_S = 12;

/** The commands for the moment `timeS` after the start. Without a stick (lost, or not enabled) the wave alone; amplitudes grow over the first two seconds. */
export function commandsAt(timeS: number, stick: Stick | undefined): JointCommand[] {
  const gain = Math.min(1, timeS / 2);
  const bend = stick && stick.enable === 1 ? stick : { x: 0, y: 0, grip: 0.5 };
  return JOINTS.map((joint, index) => {
    const wave = Math.sin((2 * Math.PI * timeS) / WAVE_PERIOD_S - index * 0.7);
    const target = joint === "gripper" ? 1.2 * bend.grip : joint === "base" ? 0.9 * wave + 0.8 * bend.x : 0.5 * wave + 0.4 * bend.y;
    return { joint, values: { mode: "Move", targetPosition: Math.max(-2.8, Math.min(2.8, gain * target)), velocityLimit: 1.5 } };
  });
}
