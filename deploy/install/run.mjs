// `npm run deb:test [-- --deb FILE]`: installs the package into a scratch copy of this system (an overlay in memory, in namespaces of its own), starts what the units start with the users, arguments and limits
// of the units, and looks: healthy without hardware, takeover, safe stop, upgrade, removal, purge. Nothing of it stays. Needs root and overlayfs. A machine with systemd is hil-tests' matter.
import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { dist, existsSync, join, readFileSync, root, run } from "../../scripts/lib.mjs";

const { values } = parseArgs({ options: { deb: { type: "string" } } });
const arch = process.arch === "arm64" ? "arm64" : "amd64";
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const deb = values.deb ?? join(dist, "deploy", `ipcnet_${version}_${arch}.deb`);
if (values.deb === undefined) run(process.execPath, [join(root, "deploy/build.mjs"), "--arch", arch]);

const probe = "mount -t tmpfs t /mnt && mkdir /mnt/u /mnt/w /mnt/m && mount -t overlay o -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w /mnt/m";
if (!existsSync(deb) || process.getuid() !== 0 || spawnSync("unshare", ["-m", "sh", "-c", probe], { stdio: "ignore" }).status !== 0) {
  process.stdout.write("install test: skipped, it needs root and overlayfs (sudo npm run deb:test)\n");
  process.exit(0);
}
// A process namespace of its own: whatever is left over at the end is gone with it.
run("unshare", ["-m", "-p", "-f", "-i", "--kill-child", "bash", join(root, "deploy/install/scratch.sh"), deb, join(root, "deploy/install/inside.sh")]);
