/** What goes where in the package, as far as it is not made on the way. Pure. */

const units = ["ipcnet-reflex@.service", "ipcnetd@.service", "ipcnetd@b.service.d/10-order.conf", "ipcnet-bus.service", "ipcnet-can@.service", "ipcnet-purge.service", "ipcnet-purge.socket", "ipcnet.target"];

/** From the repository → in the package. */
export const sources: readonly (readonly [from: string, to: string])[] = [
  // /lib, not /usr/lib, would be right for systems that are not merged; Debian 12, Ubuntu 22.04 and their kin are.
  ...units.map((name) => [`deploy/systemd/${name}`, `usr/lib/systemd/system/${name}`] as const),
  ["deploy/host/sysusers.conf", "usr/lib/sysusers.d/ipcnet.conf"],
  ["deploy/host/tmpfiles.conf", "usr/lib/tmpfiles.d/ipcnet.conf"],
  ["deploy/host/sysctl.conf", "usr/lib/sysctl.d/60-ipcnet.conf"],
  ["deploy/host/udev.rules", "usr/lib/udev/rules.d/60-ipcnet.rules"],
  ["deploy/host/logind.conf", "usr/lib/systemd/logind.conf.d/60-ipcnet.conf"],
  ["deploy/host/80-ipcnet-can.link.example", "usr/share/doc/ipcnet/examples/80-ipcnet-can.link"],
  ["deploy/config/ipcnet.yaml", "etc/ipcnet/ipcnet.yaml"],
  ["deploy/config/reflex.env", "etc/ipcnet/reflex.env"],
];

const node = "/usr/lib/ipcnet/node/bin/node";

/** Small shell scripts; `exec` keeps the process id that the service manager knows. */
export const scripts: readonly (readonly [path: string, text: string])[] = [
  ["usr/bin/ipcnet", `#!/bin/sh\nexec ${node} /usr/lib/ipcnet/bin/ipcnet.mjs "$@"\n`],
  // As in bin/ipcnetd.mjs: a small young generation can be asked for at Node's own start only.
  ["usr/bin/ipcnetd", `#!/bin/sh\nexec ${node} --max-semi-space-size=4 /usr/lib/ipcnet/bin/ipcnetd.mjs "$@"\n`],
  ["usr/lib/ipcnet/restart-in-order", `#!/bin/sh\nexec ${node} /usr/lib/ipcnet/dist/ts/deploy/order/main.js "$@"\n`],
];

const executables = new Set([...scripts.map(([path]) => path), "usr/lib/ipcnet/dist/native/ipcnet-reflex", "usr/lib/ipcnet/dist/native/ipcnet-purge", "usr/lib/ipcnet/node/bin/node", "DEBIAN/postinst", "DEBIAN/prerm", "DEBIAN/postrm"]);

export function modeOf(path: string): number {
  return executables.has(path) ? 0o755 : 0o644;
}

/** Of the compiled TypeScript: what runs on a robot. `path` is relative to dist/ts. */
export function isWantedOfDist(path: string): boolean {
  if (!/\.(?:js|json)$/.test(path) || /\.test\.js$|(?:^|\/)fuzz\.js$/.test(path)) return false;
  return !/^(?:bench|examples|hil-tests)\//.test(path) && !/^deploy\/(?:package|man)\//.test(path);
}

/** All folders that lead to these files, parents first. */
export function foldersOf(paths: readonly string[]): string[] {
  const found = new Set<string>();
  for (const path of paths) {
    const parts = path.split("/").slice(0, -1);
    parts.forEach((_part, at) => found.add(parts.slice(0, at + 1).join("/")));
  }
  return [...found].sort();
}
