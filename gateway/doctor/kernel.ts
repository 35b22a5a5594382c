import { atLeast, checker, type Check } from "./check.ts";
import type { Facts } from "./facts.ts";

const { ok, warning, problem, unknown } = checker("kernel");

/** Which version brought what we rely on, and what happens without. */
const features: readonly { subject: string; since: readonly [number, number]; what: string; without: (subject: string, evidence: string, fix: string) => Check; lost: string }[] = [
  { subject: "sealing", since: [5, 1], what: "memory that only its owner can write (F_SEAL_FUTURE_WRITE)", without: problem, lost: "shared memory cannot be protected" },
  { subject: "pidfd", since: [5, 3], what: "process handles (pidfd_open)", without: problem, lost: "a dead process cannot be told from a new one with its number" },
  { subject: "memoryExec", since: [6, 3], what: "memory files that can never be executed (MFD_NOEXEC_SEAL)", without: warning, lost: "shared memory is not sealed against execution" },
  { subject: "peerPidfd", since: [6, 5], what: "the peer's process handle from a socket (SO_PEERPIDFD)", without: warning, lost: "peers are identified by process number and start time" },
];

export function kernelChecks({ kernelRelease, kernelVersion }: Facts): Check[] {
  if (!kernelVersion) {
    return ["version", ...features.map(({ subject }) => subject)].map((subject) => unknown(subject, "the kernel does not say its version (/proc/sys/kernel/osrelease)"));
  }
  const upgrade = "upgrade the kernel: Debian 12, Ubuntu 22.04 and Raspberry Pi OS (bookworm) have a new enough one";
  return [
    ok("version", `Linux ${kernelRelease}`),
    ...features.map(({ subject, since, what, without, lost }) =>
      atLeast(kernelVersion, since) ? ok(subject, what) : without(subject, `Linux ${since.join(".")} is needed for ${what}; ${lost}`, upgrade)),
  ];
}
