// Runs when the npm package is installed: where no prebuilt addon can be loaded (another processor, an older C library), compiles them. In the repository it does nothing: `npm run build` builds.
import { spawnSync } from "node:child_process";
import { existsSync, has, join, root } from "./lib.mjs";

if (existsSync(join(root, "tsconfig.json"))) process.exit(0);

const names = ["ipcnet_shm", "ipcnet_can"];
const loads = (path) => existsSync(path) && spawnSync(process.execPath, ["-e", "require(process.argv[1])", path], { stdio: "ignore" }).status === 0;
const prebuilt = names.every((name) => loads(join(root, `prebuilds/${process.platform}-${process.arch}/${name}.node`)));
if (!prebuilt || process.env.IPCNET_COMPILE === "1") {
  if (has("gcc") || has("cc")) {
    process.stdout.write(`ipcnet: compiling the addons for ${process.platform}-${process.arch}\n`);
    (await import("./native.mjs")).buildAddons({ libraries: false });
  } else {
    // What needs no addon (the DBC and E2E parts) works all the same; whatever needs one says so when it is loaded.
    process.stderr.write(`ipcnet: there is no prebuilt addon for ${process.platform}-${process.arch}, and no C compiler\n        remedy: sudo apt-get install -y gcc libc6-dev && npm rebuild ipcnet\n`);
  }
}
