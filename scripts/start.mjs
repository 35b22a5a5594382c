// `npm start`: the demonstration; `npm start -- --config FILE`: the gateway with that configuration.
import { spawn } from "node:child_process";
import { pathToFileURL } from "node:url";
import { dist, join } from "./lib.mjs";

if (process.argv.length > 2) {
  // As bin/ipcnetd.mjs: a small young generation can be asked for at Node's own start only.
  const daemon = spawn(process.execPath, ["--max-semi-space-size=4", join(dist, "ts/gateway/bin/ipcnetd.js"), ...process.argv.slice(2)], { stdio: "inherit" });
  // A Ctrl-C reaches the daemon by itself; what is sent to this process alone is passed on. Its end, after the safe pose, is ours.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => daemon.kill(signal));
  daemon.on("close", (code) => process.exit(code ?? 1));
} else {
  process.setSourceMapsEnabled(true);
  await import(pathToFileURL(join(dist, "ts/examples/arm/run.js")));
}
