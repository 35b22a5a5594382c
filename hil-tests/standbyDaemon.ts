/** A second gateway with the configuration of the first, which stands in for it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { eventually } from "./waiting.ts";

const entry = join(import.meta.dirname, "../gateway/bin/ipcnetd.js");
/** A loaded machine starts a Node process in seconds. */
const START_MS = 60_000;

export class Standby {
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
  log = "";

  /** `folder` holds the first one's ipcnet.yaml. */
  constructor(folder: string, instance: string) {
    this.process = spawn(process.execPath, ["--enable-source-maps", entry, "--config", join(folder, "ipcnet.yaml"), "--instance", instance, "--until-stdin-closes"], { stdio: ["pipe", "ignore", "pipe"] });
    this.process.stderr!.setEncoding("utf8").on("data", (text: string) => (this.log += text));
    this.process.stdin!.on("error", () => {
      // It is gone: that is what these tests are about.
    });
    this.ended = once(this.process, "close");
  }

  /** Resolves when it can take over. */
  async ready(): Promise<void> {
    await eventually("the standby", () => this.log.includes("[standby]"), { timeoutMs: START_MS, last: () => this.log });
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    this.process.kill("SIGKILL");
    await this.ended;
  }
}
