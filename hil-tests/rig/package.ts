/**
 * The Debian package in the machine: installed once a boot, set up, and asked how it is. Whatever is asked is asked by a small Python program: a Node process takes seconds of a machine that is emulated.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { eventually } from "../waiting.ts";
import type { Running } from "./agent.ts";
import { findUdev } from "./kernel.ts";
import type { Rig } from "./rig.ts";

const root = join(import.meta.dirname, "../../../..");
const out = join(root, "dist/hil");
/** A machine that is emulated on a busy host needs minutes for what takes a small computer seconds. */
export const SLOW_MS = 20 * 60_000;
/** Between two questions to it. */
const PAUSE_MS = 300;

export const units = ["ipcnet-bus.service", "ipcnet-reflex@a.service", "ipcnet-reflex@b.service", "ipcnetd@a.service", "ipcnetd@b.service"] as const;
export type Unit = (typeof units)[number];

/** The package of what is compiled now. Not compressed: unpacking would take the machine a minute. */
async function buildPackage(): Promise<string> {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const deb = join(out, `ipcnet_${version}_amd64.deb`);
  // What goes into it is much, and from many folders: whether an old one is the same is a longer question than building it.
  const building = spawn(process.execPath, [join(root, "deploy/build.mjs"), "--arch", "amd64", "--uncompressed", "--out", out], { stdio: ["ignore", "ignore", "pipe"] });
  const [stderr, [status]] = await Promise.all([text(building.stderr), once(building, "close") as Promise<[number | null]>]);
  assert.equal(status, 0, `the package cannot be built: ${stderr}`);
  return deb;
}

let building: Promise<string> | undefined;
/** Once a run; `run.ts` asks before a machine is on. */
export const builtPackage = (): Promise<string> => (building ??= buildPackage());

/** Asks the gateway from one process in the machine, because the start of one takes it a second. */
class Asker {
  static readonly #program = `
import ipcnet, json, sys
client = None
for line in sys.stdin:
    try:
        client = client or ipcnet.connect(name="rig", timeout=60)
        answers = [client.request(service, {}, timeout=60) for service in line.split()]
    except (ipcnet.IpcnetError, OSError):
        client = answers = None
    print(json.dumps(answers, default=str), flush=True)
`;
  readonly #running: Running;
  readonly #waiting: ((line: string) => void)[] = [];

  constructor(rig: Rig) {
    this.#running = rig.start(`exec /usr/bin/python3 -c '${Asker.#program}'`, { input: true, quiet: true });
    this.#running.onLine = (line) => this.#waiting.shift()?.(line);
  }

  /** Undefined: nobody answers. */
  async ask(services: readonly string[]): Promise<object[] | undefined> {
    const line = new Promise<string>((resolve) => this.#waiting.push(resolve));
    this.#running.write(`${services.join(" ")}\n`);
    const ended = this.#running.ended.then(({ err }) => assert.fail(`whoever asks the gateway has ended: ${err}`));
    return (JSON.parse(await Promise.race([line, ended])) as object[] | null) ?? undefined;
  }
}

export class InstalledPackage {
  readonly #rig: Rig;
  #asker: Asker | undefined;

  private constructor(rig: Rig) {
    this.#rig = rig;
  }

  /** Installed once a boot; `healthy` sets it up. */
  static async in(rig: Rig): Promise<InstalledPackage> {
    const made = new InstalledPackage(rig);
    if (!(await made.#isInstalled())) await made.install();
    return made;
  }

  /** Not there, whatever was there before; `install` puts it there. */
  static async absentFrom(rig: Rig): Promise<InstalledPackage> {
    const made = new InstalledPackage(rig);
    if (await made.#isInstalled()) await made.purged();
    return made;
  }

  async #isInstalled(): Promise<boolean> {
    return (await this.#rig.run("dpkg-query -W -f '${Status}' ipcnet 2>/dev/null | grep -q 'install ok installed'", { quiet: true })).code === 0;
  }

  /** dpkg -i, over what is there; the machine's own time that it took, s. */
  async install(): Promise<number> {
    const deb = await builtPackage();
    copyFileSync(deb, join(this.#rig.machine.folder, basename(deb)));
    // Indexing the host's manual pages and libraries is no part of what is tried, and takes longer than all the rest.
    return this.timed(`rm -f /var/lib/man-db/auto-update; mountpoint -q /sbin/ldconfig || mount --bind /bin/true /sbin/ldconfig; dpkg -i --force-unsafe-io /shared/${basename(deb)}`);
  }

  /** Runs it and returns how long it took by the machine's clock, s. */
  async timed(script: string): Promise<number> {
    const text = await this.#rig.sh(`began=$(cut -d' ' -f1 /proc/uptime); cat >/tmp/timed.sh <<'TIMED'\n${script}\nTIMED\nbash -e /tmp/timed.sh >/tmp/timed.log 2>&1 || { cat /tmp/timed.log; journalctl -u 'ipcnet*' -o short-monotonic --no-pager -n 60; exit 1; } >&2; echo $began $(cut -d' ' -f1 /proc/uptime)`, { timeoutMs: SLOW_MS });
    const [began = 0, ended = 0] = text.trim().split(/\s+/).map(Number);
    return ended - began;
  }

  /** As `ipcnet setup --yes` leaves it: healthy, or it fails. Seconds of the machine. Nothing happens where it is so already. */
  async healthy(): Promise<number> {
    const isSo = await this.#rig.run(`test -e /etc/systemd/system/multi-user.target.wants/ipcnet.target && ${units.map((unit) => `systemctl is-active -q ${unit}`).join(" && ")}`, { quiet: true });
    const seconds = isSo.code === 0 ? 0 : await this.timed("ipcnet setup --yes --robot rig --buses none --serial none --watchdog none --start");
    await this.paired();
    return seconds;
  }

  /** As if it had never been there. */
  async purged(): Promise<void> {
    await this.#rig.sh("dpkg -P ipcnet; rm -rf /etc/ipcnet", { timeoutMs: SLOW_MS, quiet: true });
  }

  /**
   * systemd-udevd runs: no machine of the rig starts it by itself, so that no driver is loaded that nobody asked for. What appears from now on has its unit and its rules; what there was before, of the
   * subsystems that are named, is told again.
   */
  async udev(...again: readonly string[]): Promise<void> {
    const folder = findUdev();
    assert.ok(folder !== undefined, "udev is neither installed nor fetched: npm run hil -- --fetch");
    // Another layer over the root would be another share of files; these are few. Removed first: on a machine that has had them since another behaviour, they run.
    const copy = folder === "/" ? "" : `for f in bin lib sbin; do [ -d /host${folder}/$f ] && cp -a --remove-destination /host${folder}/$f/. /usr/$f/; done; cp -a --remove-destination /host${folder}/etc/. /etc/;`;
    await this.#rig.sh(`${copy} rm -f /etc/systemd/system/systemd-udevd*; systemctl daemon-reload; systemctl start systemd-udevd.service; ${again.map((name) => `udevadm trigger --action=add --subsystem-match=${name};`).join(" ")} udevadm settle --timeout=120`, { timeoutMs: SLOW_MS, quiet: true });
  }

  /** As the rig's, with the patience for a machine in which four gateways and bus processes run. */
  until<Answer>(what: string, ask: () => Answer | Promise<Answer>, last?: () => unknown): Promise<Exclude<Answer, undefined | false>> {
    return eventually(what, async () => {
      const answer = await ask();
      // While the machine computes for whoever asks, its clock goes by what it computes; while it waits, by the host's, which is faster.
      if (answer === undefined || answer === false) await setTimeout(PAUSE_MS);
      return answer;
    }, { timeoutMs: Math.min(SLOW_MS, this.#rig.patienceMs), ...(last ? { last } : {}) });
  }

  /** Until each one has its other one. */
  async paired(): Promise<void> {
    await this.whole({ gateways: 2, reflexes: 2 });
  }

  /** Until so many gateways and bus processes are well, and where there are two each has its other one. It only asks: nothing is started. */
  async whole({ gateways, reflexes: count }: { gateways: number; reflexes: number }): Promise<void> {
    let last: Partial<Failover> = {};
    await this.until(`${gateways} gateways and ${count} bus processes, all of them well`, async () => {
      last = await this.ask<Failover>("gateway/failover", count > 0 ? "gateway/reflex" : undefined);
      const { active, standby, reflexes = [] } = last;
      const well = reflexes.filter(({ there, healthy, tableIsOurs, twinSeenMsAgo }) => there && healthy && tableIsOurs && (count < 2 || twinSeenMsAgo !== undefined));
      return active !== undefined && (gateways < 2 || standby?.ready === true) && well.length === count;
    }, () => last);
  }

  /** What the gateway answers; the fields of the second service's list under `reflexes`. Empty: nobody answers. */
  async ask<Answer extends object>(service: string, list?: string): Promise<Partial<Answer>> {
    this.#asker ??= new Asker(this.#rig);
    const answers = await this.#asker.ask([service, ...(list === undefined ? [] : [list])]);
    if (answers === undefined) return {};
    return (list === undefined ? answers[0] : { ...answers[0], reflexes: answers[1] }) as Answer;
  }

  async show(unit: string, property: string): Promise<string> {
    return (await this.#rig.sh(`systemctl show -P ${property} ${unit}`, { quiet: true })).trim();
  }
  async mainPid(unit: string): Promise<number> {
    return Number(await this.show(unit, "MainPID"));
  }
  async isActive(unit: string): Promise<boolean> {
    return (await this.show(unit, "ActiveState")) === "active";
  }
  /** Another process than `pid`, and READY. */
  async startedAgain(unit: string, pid: number): Promise<void> {
    await this.until(`${unit} again`, async () => {
      const text = await this.#rig.sh(`systemctl show -P MainPID -P ActiveState ${unit}`, { quiet: true });
      const [now, state] = [/^\d+$/m.exec(text)?.[0], /^[a-z]+$/m.exec(text)?.[0]];
      return state === "active" && now !== "0" && now !== String(pid);
    });
  }
  /** Of a unit, since this boot, or of all. */
  async journal(unit = "ipcnet*"): Promise<string> {
    return this.#rig.sh(`journalctl -u '${unit}' -o short-monotonic --no-pager | grep -v ipcnet-rig-agent || true`, { quiet: true });
  }
}

interface Failover {
  active: string;
  standby: { ready: boolean };
  reflexes: { there: boolean; healthy: boolean; tableIsOurs: boolean; twinSeenMsAgo?: number }[];
}
