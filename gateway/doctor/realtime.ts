/** What keeps latencies short. Nothing here is a must: without it everything works, later. */
import { checker, type Check } from "./check.ts";
import type { Facts } from "./facts.ts";
import type { Machine } from "./machine.ts";

const { ok, warning, unknown } = checker("realtime");
/** The lanes, the reflex's stack and code, and as much again. */
const lockedBytesMin = 64 * 1024 * 1024;
const goodGovernors = new Set(["performance", "schedutil"]);
const slowClocks = new Set(["hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"]);

export async function realtimeChecks(machine: Machine, facts: Facts): Promise<Check[]> {
  return [...limitChecks(machine, facts), preemption(machine, facts), governor(machine), clockSource(machine), await timeSync(machine)];
}

function limitChecks(machine: Machine, { capabilities }: Facts): Check[] {
  const limits = machine.read("/proc/self/limits");
  if (limits === undefined) return ["priority", "memory"].map((subject) => unknown(subject, "the limits cannot be read (/proc/self/limits)"));
  const soft = (name: string): number => {
    const text = new RegExp(`^${name}\\s+(\\S+)`, "m").exec(limits)?.[1];
    return text === "unlimited" ? Number.POSITIVE_INFINITY : Number(text ?? "0");
  };
  const priority = soft("Max realtime priority");
  const locked = soft("Max locked memory");
  return [
    capabilities.sysNice || priority > 0
      ? ok("priority", capabilities.sysNice ? "real-time scheduling is allowed (CAP_SYS_NICE)" : `real-time priority up to ${priority}`)
      : warning("priority", "real-time scheduling is not allowed (RLIMIT_RTPRIO 0): the bus threads compete with everything else", "echo '@ipcnet - rtprio 50' | sudo tee /etc/security/limits.d/ipcnet.conf, then log in again; in a systemd unit: LimitRTPRIO=50"),
    capabilities.ipcLock || locked >= lockedBytesMin
      ? ok("memory", capabilities.ipcLock || locked === Number.POSITIVE_INFINITY ? "any amount of memory may be locked" : `${locked} bytes may be locked`)
      : warning("memory", `only ${locked} bytes may be locked in memory: paging can stall the bus`, "echo '@ipcnet - memlock 131072' | sudo tee -a /etc/security/limits.d/ipcnet.conf, then log in again; in a systemd unit: LimitMEMLOCK=128M"),
  ];
}

function preemption(machine: Machine, { kernelRelease }: Facts): Check {
  const version = machine.read("/proc/version") ?? "";
  if (machine.read("/sys/kernel/realtime")?.trim() === "1" || /PREEMPT_RT/.test(version)) return ok("preemption", "PREEMPT_RT");
  if (version === "") return unknown("preemption", "the kernel's build cannot be read (/proc/version)");
  const raspberry = /rpi|raspi/.test(kernelRelease);
  const fix = raspberry ? "sudo apt-get install -y linux-image-rpi-v8-rt" : `sudo apt-get install -y linux-image-rt-${machine.arch === "x64" ? "amd64" : machine.arch} (Debian), sudo pro enable realtime-kernel (Ubuntu)`;
  return warning("preemption", "no PREEMPT_RT kernel: keep deadlines at 10 ms and above", fix);
}

function governor(machine: Machine): Check {
  const cpus = (machine.list("/sys/devices/system/cpu") ?? []).filter((name) => /^cpu\d+$/.test(name));
  const found = new Set(cpus.map((cpu) => machine.read(`/sys/devices/system/cpu/${cpu}/cpufreq/scaling_governor`)?.trim()).filter((name): name is string => Boolean(name)));
  if (found.size === 0) return ok("governor", "the processor's frequency is not managed by Linux here");
  const names = [...found].join(", ");
  if ([...found].every((name) => goodGovernors.has(name))) return ok("governor", names);
  return warning("governor", `frequency governor ${names}: the first reaction after a quiet moment is slow`, "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor");
}

function clockSource(machine: Machine): Check {
  const folder = "/sys/devices/system/clocksource/clocksource0";
  const current = machine.read(`${folder}/current_clocksource`)?.trim() || undefined;
  if (current === undefined) return unknown("clock", "the kernel does not say which clock it uses");
  if (!slowClocks.has(current)) return ok("clock", current);
  const others = (machine.read(`${folder}/available_clocksource`) ?? "").trim().split(/\s+/).filter((name) => name !== "" && !slowClocks.has(name));
  return warning("clock", `clock source ${current}: reading the time costs over a microsecond`, others[0] ? `echo ${others[0]} | sudo tee ${folder}/current_clocksource` : "boot with tsc=reliable if the processor's counter is sound");
}

async function timeSync(machine: Machine): Promise<Check> {
  const answer = await machine.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"]);
  const word = answer?.code === 0 ? answer.stdout.trim() : "";
  if (word === "yes") return ok("timeSync", "the wall clock is synchronised");
  if (word === "no") return warning("timeSync", "the wall clock is not synchronised: recordings of several machines cannot be compared (control never uses it)", "sudo timedatectl set-ntp true");
  return unknown("timeSync", "timedatectl does not tell, or is not installed");
}
