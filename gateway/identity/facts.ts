/** What the kernel says about a process beyond its user; nothing of it comes from the process itself. */
export interface ProcessFacts {
  /** Path of its cgroup, as the gateway's cgroup namespace shows it. */
  readonly cgroup?: string;
  /** The system's unit that it belongs to: "planner.service". */
  readonly unit?: string;
  /** Its unit within a user's own service manager, worth what that user is worth. */
  readonly userUnit?: { readonly name: string; readonly uid: number };
  /** The program file it runs; absent where the kernel does not tell. */
  readonly executable?: string;
}
