// Builds the Debian package from a clean checkout: `node deploy/build.mjs --arch amd64|arm64 [--out DIR] [--uncompressed]`; deploy/README.md. Needs npm, gcc (for another architecture: its cross compiler) and dpkg-deb.
import { parseArgs } from "node:util";
import { dist, has, join, refuse, root, run } from "../scripts/lib.mjs";

const { values } = parseArgs({ options: { arch: { type: "string", default: process.arch === "arm64" ? "arm64" : "amd64" }, out: { type: "string", default: join(dist, "deploy") }, uncompressed: { type: "boolean", default: false } } });
if (!["amd64", "arm64"].includes(values.arch)) refuse(`--arch ${values.arch}: it is amd64 or arm64`);
if (!has("dpkg-deb")) refuse("dpkg-deb is needed to build a Debian package", "sudo apt-get install -y dpkg");

run(process.execPath, [join(root, "scripts/prepare.mjs")]);
const native = join(dist, "deploy", values.arch, "native");
run(process.execPath, [join(root, "deploy/native.mjs"), values.arch, native]);
const { buildPackage } = await import("../dist/ts/deploy/package/build.js");
await buildPackage({ arch: values.arch, native, work: join(dist, "deploy", values.arch), out: values.out, uncompressed: values.uncompressed });
