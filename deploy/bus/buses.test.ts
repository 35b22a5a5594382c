import assert from "node:assert/strict";
import { test } from "node:test";
import { busesBySocket } from "./buses.ts";

test("emulated buses by their socket, relative paths from the configuration's folder", () => {
  const buses = [{ driver: "emulator", interface: "/run/x.sock", name: "a" }, { driver: "socketcan", interface: "can0", name: "b" }, { driver: "emulator", interface: "y.sock", name: "c" }, { driver: "emulator", interface: "/run/x.sock", name: "d" }] as const;
  const found = [...busesBySocket(buses, "/etc/ipcnet/ipcnet.yaml")].map(([path, each]) => [path, each.map(({ name }) => name)]);
  assert.deepEqual(found, [["/run/x.sock", ["a", "d"]], ["/etc/ipcnet/y.sock", ["c"]]]);
});
