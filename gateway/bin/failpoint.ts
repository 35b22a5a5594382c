/**
 * For tests of the pair alone: with IPCNETD_FAILPOINT=KIND:TEXT in its environment, a packet that contains TEXT kills the daemon: `throw` (an exception that nobody catches), `abort`
 * (a fatal signal), `hang` (a loop without an end), `kill` (SIGKILL, as from outside). It says so loudly at the start. IPCNETD_LINK_FAILPOINT=KIND:HEX: the same for what comes from a
 * link and contains these bytes.
 */
type Failpoint = (bytes: Uint8Array, at: number, lengthBytes: number) => void;
type Environment = Readonly<Record<string, string | undefined>>;

export function failpointOf(warn: (text: string) => void, env: Environment = process.env): Failpoint | undefined {
  const [kind, ...rest] = (env["IPCNETD_FAILPOINT"] ?? "").split(":");
  return failpoint(kind, Buffer.from(rest.join(":")), "packets", warn);
}

export function linkFailpointOf(warn: (text: string) => void, env: Environment = process.env): Failpoint | undefined {
  const [kind, hex = ""] = (env["IPCNETD_LINK_FAILPOINT"] ?? "").split(":");
  return failpoint(kind, Buffer.from(hex, "hex"), "messages of links", warn);
}

function failpoint(kind: string | undefined, marker: Buffer, what: string, warn: (text: string) => void): Failpoint | undefined {
  if (kind === undefined || marker.length === 0) return undefined;
  warn(`FAILPOINT: ${what} that contain "${marker.toString("latin1")}" will end this process (${kind}); this is for tests alone`);
  return (bytes, at, lengthBytes) => {
    if (!Buffer.from(bytes.buffer, bytes.byteOffset + at, lengthBytes).includes(marker)) return;
    if (kind === "throw") throw new Error("failpoint");
    if (kind === "abort") process.abort();
    if (kind === "kill") process.kill(process.pid, "SIGKILL");
    // kill comes a moment later; hang never returns.
    for (;;);
  };
}
