import assert from "node:assert/strict";
import { test } from "node:test";
import { readWords as read } from "./words.ts";

const readWords = (argv: string[], processors = 2) => read(argv, { folder: "/home/me", processors });

test("words choose, options are read in any order", () => {
  assert.deepEqual(readWords(["busOff", "--keep", "--out", "/somewhere", "crc", "--json", "--times", "3", "--jobs", "4"]), {
    only: ["busOff", "crc"], machines: ["plain", "systemd", "two"], machinesByDefault: true, help: false, require: false, list: false, fetch: false, json: true, keep: true, follow: false, out: "/somewhere", target: undefined, can: [], folder: undefined, times: 3, config: undefined, jobs: 4,
  });
});

test("paths are those of whoever called, a kind of machine is one kind however often it is named, and a host with one processor has no pair by default", () => {
  const words = readWords(["--config", "robot/robot.yaml", "--out", "../report", "--machine", "two,plain,two", "--require"]);
  assert.ok(typeof words !== "string");
  assert.deepEqual([words.config, words.out, words.machines, words.machinesByDefault, words.require], ["/home/me/robot/robot.yaml", "/home/report", ["two", "plain"], false, true]);
  const alone = readWords([], 1);
  assert.ok(typeof alone !== "string");
  assert.deepEqual([alone.machines, alone.jobs], [["plain", "systemd"], 1]);
  for (const word of ["-h", "--help"]) {
    const helped = readWords([word]);
    assert.ok(typeof helped !== "string" && helped.help);
  }
});

test("a bench is named with its interfaces and its folder", () => {
  const words = readWords(["--target", "ssh://root@arm.local:2222", "--can", "can0,can1", "--folder", "/opt/ipcnet"]);
  assert.ok(typeof words !== "string");
  assert.deepEqual([words.target, words.can, words.folder], [{ host: "root@arm.local", port: 2222 }, ["can0", "can1"], "/opt/ipcnet"]);
  const numeric = readWords(["--target", "ssh://root@[fe80::1]", "--can", "can0", "--folder", "/opt/ipcnet"]);
  assert.deepEqual(typeof numeric !== "string" && numeric.target, { host: "root@fe80::1", port: undefined });
});

test("what is wrong is said in a sentence", () => {
  const wrong: [string[], RegExp][] = [
    [["--fast"], /--fast is not known/],
    [["-x"], /-x is not known/],
    [["--out"], /needs a value/],
    [["--out", "--json"], /needs a value/],
    [["--times", "0"], /1 to 1000/],
    [["--jobs", "17"], /1 to 16/],
    [["--config", "a;b"], /name of a file/],
    [["--config", "/robot.yaml", "--target", "ssh://root@robot", "--can", "can0,can1", "--folder", "/opt/ipcnet"], /for a virtual machine/],
    [["--machine", "plain,raspberry"], /--machine is one/],
    [["--target", "ssh://root@arm"], /needs --can/],
    [["--target", "ssh://root@arm", "--can", "can0"], /needs --folder/],
    [["--can", "can0"], /--target is missing/],
    [["--target", "http://arm"], /--target is ssh/],
    [["--target", "ssh://-oProxyCommand=x"], /--target is ssh/],
    [["--target", "ssh://a", "--can", "can0;reboot", "--folder", "/x"], /--can is/],
    [["--target", "ssh://a", "--can", "a,b,c", "--folder", "/x"], /--can is/],
    [["--target", "ssh://a", "--can", "can0", "--folder", "x y"], /absolute/],
  ];
  for (const [argv, said] of wrong) {
    const words = readWords(argv);
    assert.ok(typeof words === "string", argv.join(" "));
    assert.match(words, said);
  }
});
