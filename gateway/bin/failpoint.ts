/**
 * For tests of the pair alone: with IPCNETD_FAILPOINT=KIND:TEXT in its environment, a packet that contains TEXT kills the daemon: `throw` (an exception that nobody catches), `abort`
 * (a fatal signal), `hang` (a loop without an end), `kill` (SIGKILL, as from outside). It says so loudly at the start.
 */
export function failpointOf(warn: (text: string) => void, env: Readonly<Record<string, string | undefined>> = process.env): ((bytes: Uint8Array, at: number, lengthBytes: number) => void) | undefined {
  const [kind, ...rest] = (env["IPCNETD_FAILPOINT"] ?? "").split(":");
  const marker = Buffer.from(rest.join(":"));
  if (kind === undefined || marker.length === 0) return undefined;
  warn(`FAILPOINT: packets that contain "${marker.toString()}" will end this process (${kind}); this is for tests alone`);
  return (bytes, at, lengthBytes) => {
    if (!Buffer.from(bytes.buffer, bytes.byteOffset + at, lengthBytes).includes(marker)) return;
    if (kind === "throw") throw new Error("failpoint");
    if (kind === "abort") process.abort();
    if (kind === "kill") process.kill(process.pid, "SIGKILL");
    // kill comes a moment later; hang never returns.
    for (;;);
  };
}
