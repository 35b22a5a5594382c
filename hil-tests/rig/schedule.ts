/** In which order machines are switched on, and how many at a time. Pure but for what the jobs do. */
import type { Found, MachineKind } from "./behaviour.ts";

/** What one boot serves. */
export interface Job {
  machine: MachineKind;
  /** Those that have no verdict yet: it takes them off one after the other. */
  waiting: Found[];
  run(): Promise<void>;
}

/** Two go by the host's clock: with other machines beside them they would be late for each other. */
export const isAlone = ({ machine }: Pick<Job, "machine">): boolean => machine === "two";

/** Those of the package take longest by far. */
const length = ({ machine }: Pick<Job, "machine">): number => Number(machine === "systemd");

/** So many at a time, the longest first; then, one by one, those that want this machine for themselves. What a job failed with is a value, and keeps no other one from running. */
export async function runAll(jobs: readonly Job[], jobsMax: number): Promise<{ job: Job; error: unknown }[]> {
  const failed: { job: Job; error: unknown }[] = [];
  const settle = async (job: Job): Promise<void> => {
    try {
      await job.run();
    } catch (error) {
      failed.push({ job, error });
    }
  };
  const beside = jobs.filter((job) => !isAlone(job)).toSorted((a, b) => length(b) - length(a));
  await Promise.all(Array.from({ length: jobsMax }, async () => {
    for (let job = beside.shift(); job; job = beside.shift()) await settle(job);
  }));
  for (const job of jobs.filter(isAlone)) await settle(job);
  return failed;
}
