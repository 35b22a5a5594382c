// `npm start`: the demonstration; `npm start -- --config FILE`: the gateway with that configuration, and the bus processes that it names.
import { spawn } from "node:child_process";
import { pathToFileURL } from "node:url";
import { dist, join } from "./lib.mjs";

if (process.argv.length > 2) {
  const config = process.argv.findIndex((word) => word === "--config" || word === "-c");
  // They outlive the gateway by their own safe pose; a session of their own, and a pipe whose end tells them that we are gone.
  const reflexes = config > 0 && spawn(process.execPath, [join(dist, "ts/gateway/bin/reflexes.js"), "--config", process.argv[config + 1] ?? "", "--if-any", "--until-stdin-closes"], { stdio: ["pipe", "ignore", "inherit"], detached: true });
  // As bin/ipcnetd.mjs: a small young generation can be asked for at Node's own start only.
  const daemon = spawn(process.execPath, ["--max-semi-space-size=4", join(dist, "ts/gateway/bin/ipcnetd.js"), ...process.argv.slice(2)], { stdio: "inherit" });
  // A Ctrl-C reaches the daemon by itself; what is sent to this process alone is passed on. Its end, after the safe pose, is ours.
  process.on("SIGINT", () => {});
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => daemon.kill(signal));
  daemon.on("close", (code) => {
    if (!reflexes || reflexes.exitCode !== null) process.exit(code ?? 1);
    reflexes.on("close", () => process.exit(code ?? 1));
    reflexes.stdin.end();
  });
} else {
  process.setSourceMapsEnabled(true);
  await import(pathToFileURL(join(dist, "ts/examples/arm/run.js")));
}
