/** The Python package against a gateway and against TypeScript programs: its own tests, both directions of everything, and the wheel. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { mutatedRows } from "../schemas/media/mutations.ts";
import { mediaCodec, type FilePayload, type Tensor, type VideoFrame } from "../schemas/media/index.ts";
import type { Client, Message } from "../shm/client/index.ts";
import { fileContent, sealBytes, sealedFilePayload } from "../shm/sockets/index.ts";
import { type Daemon, startDaemon, testFolder } from "./daemon.ts";
import { noPython, pythonEnvironment, pythonPackage, type PythonProgram, startPython } from "./python.ts";
import { eventually } from "./waiting.ts";

const PATIENCE_MS = 60_000;
const examples = join(pythonPackage, "../../examples/talk");

describe("Python", { skip: noPython }, () => {
  const folder = testFolder();
  let daemon: Daemon;
  let client: Client;
  const programs: PythonProgram[] = [];

  before(async () => {
    daemon = await startDaemon(folder.path, "version: 1\nrobot: snake\n");
    client = await daemon.connect("typescript");
  });
  after(async () => {
    for (const program of programs) await program.stop();
    await client.close();
    await daemon.stop();
    folder.remove();
  });

  function python(args: readonly string[], extra: Record<string, string> = {}): PythonProgram {
    const program = startPython(args, daemon.socketPath, extra);
    programs.push(program);
    return program;
  }

  test("its own tests pass against a gateway", { timeout: 4 * PATIENCE_MS }, async (t) => {
    const program = startPython(["-m", "unittest", "discover", "-t", pythonPackage, "-s", join(pythonPackage, "tests")], daemon.socketPath, { IPCNET_TEST_SOCKET: daemon.socketPath });
    const { code, errors } = await program.ended;
    assert.equal(code, 0, errors);
    const ran = /Ran (\d+) tests/.exec(errors);
    assert.ok(Number(ran?.[1]) >= 40, errors);
    for (const name of ["numpy", "torch", "tensorflow"]) {
      const missing = execFileSync("python3", ["-c", `import importlib.util as u; print(u.find_spec("${name}") is None)`], { encoding: "utf8" }).trim() === "True";
      if (missing) t.diagnostic(`${name} is not installed: its tests were left out`);
    }
  });

  test("Python and TypeScript agree on thousands of mutated media payloads, value or fault", { timeout: PATIENCE_MS }, () => {
    const seed = 20261124;
    const rows = mutatedRows(seed, 4000);
    const script = "import sys; from tests.test_media import spell; sys.stdout.write('\\n'.join(spell(row.split()[0], bytes.fromhex(row.split()[1])) for row in sys.stdin.read().splitlines()))";
    const spelled = execFileSync("python3", ["-c", script], { input: rows.join("\n"), encoding: "utf8", env: pythonEnvironment({ PYTHONIOENCODING: "utf-8" }), maxBuffer: 1 << 26 }).split("\n");
    assert.deepEqual(spelled, rows.map((row) => row.split(" ").slice(2).join(" ")), `seed ${seed}`);
  });

  test("a Python talker is heard in TypeScript", { timeout: PATIENCE_MS }, async () => {
    const heard: Message[] = [];
    const subscription = await client.subscribe("talk/hello", { policy: { queue: 64 } }, (message) => heard.push(message));
    const talker = python([join(examples, "talker.py")]);
    await eventually("three messages", () => heard.length >= 3, { timeoutMs: PATIENCE_MS });
    const counts = heard.map(({ value }) => (value as { count: number }).count);
    assert.deepEqual(counts, counts.map((_, i) => counts[0]! + i));
    assert.deepEqual(heard[0]!.value, { text: "hello from Python", count: counts[0] });
    await subscription.close();
    await talker.stop();
  });

  test("a TypeScript talker is heard in Python", { timeout: PATIENCE_MS }, async () => {
    const writer = await client.advertise("talk/hello", { encoding: "cbor" });
    const listener = python([join(examples, "listener.py")]);
    await eventually("a reader", () => writer.readers > 0, { timeoutMs: PATIENCE_MS });
    for (let i = 1; i <= 5; i++) assert.ok(writer.publish({ text: "hello from TypeScript", count: i }));
    await eventually("five lines", () => listener.lines.length >= 5, { timeoutMs: PATIENCE_MS, last: () => listener.lines });
    assert.equal(listener.lines[0], "1 {'text': 'hello from TypeScript', 'count': 1} ");
    await listener.stop();
    await writer.close();
  });

  test("services are called in both directions", { timeout: PATIENCE_MS }, async () => {
    const service = python([join(examples, "service.py")]);
    await eventually("it is offered", async () => (await client.find("services", "talk/add")).length > 0, { timeoutMs: PATIENCE_MS });
    assert.deepEqual(await client.request("talk/add", { a: 20, b: 22.5 }), { sum: 42.5 });
    await service.stop();
    const offer = await client.offer("talk/add", {}, (body) => ({ sum: (body as { a: number; b: number }).a * 100 }));
    const caller = python([join(examples, "caller.py"), "7", "8"]);
    const { code, errors } = await caller.ended;
    assert.equal(code, 0, errors);
    assert.deepEqual(caller.lines, ["700"]);
    await offer.close();
  });

  test("tensors, pictures and files come through Python and back as they were", { timeout: PATIENCE_MS }, async () => {
    const echo = python(["-c", `
import ipcnet
with ipcnet.connect(name="echo") as client:
    writers = {kind: client.advertise(f"echo/back/{kind}", kind, payload_bytes_max=1 << 20) for kind in ("tensor", "video")}
    for kind, writer in writers.items():
        # The value is decoded and encoded again: not the bytes that came.
        client.subscribe(f"echo/there/{kind}", lambda message, writer=writer: writer.publish(message.value, lineage=[message]), policy="queue")

    @client.offer("echo/file")
    def file(body, call):
        received = ipcnet.media.decode("file", body)
        with call.take_fd() as fd:
            content = bytes(ipcnet.file_of(received, fd).content).upper()
        reply = ipcnet.File(received.name, None, received.type, len(content), __import__("hashlib").sha256(content).digest())
        return ipcnet.Reply(ipcnet.media.encode(reply), [ipcnet.seal_bytes(content)])

    client.run()
`]);
    const back: Message[] = [];
    const subscription = await client.subscribe("echo/back/+", { policy: { queue: 64 } }, (message) => back.push(message));
    const tensors = await client.advertise("echo/there/tensor", { encoding: "tensor", payloadBytesMax: 1 << 20 });
    const frames = await client.advertise("echo/there/video", { encoding: "video", payloadBytesMax: 1 << 20 });
    await eventually("both are read", () => tensors.readers > 0 && frames.readers > 0, { timeoutMs: PATIENCE_MS });
    await eventually("the way back is there", async () => (await client.find("services", "echo/file")).length > 0, { timeoutMs: PATIENCE_MS });

    const data = Float32Array.from({ length: 60_000 }, (_, i) => i / 7);
    await eventually("a tensor comes back", () => {
      if (back.some(({ topic }) => topic === "echo/back/tensor")) return true;
      tensors.publish({ shape: [200, 300], data });
      return false;
    }, { timeoutMs: PATIENCE_MS });
    const tensor = back.find(({ topic }) => topic === "echo/back/tensor")!.value as Tensor;
    assert.deepEqual([tensor.dtype, tensor.shape, tensor.strides], ["float32", [200, 300], [300, 1]]);
    assert.deepEqual(tensor.data, data);

    const pixels = Uint8Array.from({ length: 64 * 48 * 3 }, (_, i) => i);
    await eventually("a picture comes back", () => {
      if (back.some(({ topic }) => topic === "echo/back/video")) return true;
      frames.publish({ fourcc: "RGB3", width: 64, height: 48, ptsNs: 123n, data: pixels });
      return false;
    }, { timeoutMs: PATIENCE_MS });
    const frame = back.find(({ topic }) => topic === "echo/back/video")!.value as VideoFrame;
    assert.deepEqual([frame.fourcc, frame.width, frame.height, frame.ptsNs, frame.keyFrame], ["RGB3", 64, 48, 123n, true]);
    assert.deepEqual(frame.data, pixels);

    const content = new TextEncoder().encode("a file, ".repeat(10_000));
    const sealed = sealBytes(content);
    const answer = await client.requestFull("echo/file", sealedFilePayload("a.txt", "text/plain", content), { descriptors: [sealed] });
    sealed.close();
    const payload = mediaCodec("file").decode(answer.body as Uint8Array);
    assert.ok(payload.ok);
    const file: FilePayload = payload.value;
    assert.deepEqual(Buffer.from(fileContent(file, answer.descriptors[0])!).toString(), Buffer.from(content).toString().toUpperCase());
    assert.deepEqual([file.name, file.type], ["a.txt", "text/plain"]);
    for (const descriptor of answer.descriptors) descriptor.close();
    await subscription.close();
    await tensors.close();
    await frames.close();
    await echo.stop();
  });

  test("what a topic fixes has the same number in both languages, and another number is refused", { timeout: PATIENCE_MS }, async () => {
    const writer = await client.advertise("fixed/tensor", { encoding: "tensor", constraints: { shape: [null, 3], dtype: "float32" } });
    const records = await client.advertise("fixed/record", { layout: [{ name: "angle", type: "f64", unit: "rad", minimum: -3.25, maximum: 0.1 }, { name: "mode", type: "u8" }] });
    const program = python(["-c", `
import ipcnet
with ipcnet.connect() as client:
    fields = {"angle": {"type": "f64", "unit": "rad", "minimum": -3.25, "maximum": 0.1}, "mode": "u8"}
    print(client.advertise("fixed/record", fields=fields).publish({"angle": 0.1, "mode": 255}))
    try:
        client.advertise("fixed/record", fields={**fields, "mode": "u16"})
    except ipcnet.IpcnetError as error:
        print(error.status)
    topic = client.topic("fixed/tensor")
    print(topic.description.get("jsonSchema") == {"dtype": "float32", "shape": [None, 3]}, topic.schema_hash == ipcnet.media.schema_hash("tensor", {"dtype": "float32", "shape": [None, 3]}))
    client.advertise("fixed/tensor", "tensor", constraints={"shape": [None, 3], "dtype": "float32"})
    for constraints in ({"shape": [None, 4], "dtype": "float32"}, None):
        try:
            client.advertise("fixed/tensor", "tensor", constraints=constraints)
        except ipcnet.IpcnetError as error:
            print(error.status)
`]);
    const { code, errors } = await program.ended;
    assert.equal(code, 0, errors);
    assert.deepEqual(program.lines, ["True", "206", "True True", "206", "206"]);
    await writer.close();
    await records.close();
  });

  test("two Python programs keep talking when the gateway is killed, and what needs it says so", { timeout: 2 * PATIENCE_MS }, async () => {
    const other = testFolder();
    const doomed = await startDaemon(other.path, "version: 1\nrobot: doomed\n");
    const talker = startPython([join(examples, "talker.py")], doomed.socketPath);
    const listener = startPython([join(examples, "listener.py")], doomed.socketPath);
    const asking = startPython(["-c", `
import ipcnet
with ipcnet.connect() as client:
    ended = []
    client.on_end(ended.append)
    client.offer("never/answered", lambda body, call: print("asked", flush=True))
    print("there", flush=True)
    try:
        client.run()
    except ipcnet.IpcnetError as error:
        print(error.status, bool(ended), flush=True)
    try:
        client.request("talk/add")
    except ipcnet.IpcnetError as error:
        print(error.status, flush=True)
`], doomed.socketPath);
    await eventually("they talk", () => listener.lines.length >= 3 && asking.lines.length > 0, { timeoutMs: PATIENCE_MS });
    doomed.process.kill("SIGKILL");
    await doomed.ended;
    const { code, errors } = await asking.ended;
    assert.equal(code, 0, errors);
    assert.deepEqual(asking.lines, ["there", "303 True", "303"]);
    const before = listener.lines.length;
    await eventually("they still talk", () => listener.lines.length >= before + 5, { timeoutMs: PATIENCE_MS });
    const counts = listener.lines.map((line) => Number(line.split(" ")[0]));
    assert.deepEqual(counts, counts.map((_, i) => counts[0]! + i), "and lose nothing");
    await talker.stop();
    await listener.stop();
    other.remove();
  });

  test("a grant is a file object, and an impending end is told in time", { timeout: 2 * PATIENCE_MS }, async () => {
    const other = testFolder();
    writeFileSync(join(other.path, "notes.txt"), "what was seen");
    const leaving = await startDaemon(other.path, `version: 1\nrobot: leaving\nresources: [{ name: arm/notes, file: "${join(other.path, "notes.txt")}", modes: [read] }]\n`);
    const program = startPython(["-c", `
import ipcnet
with ipcnet.connect() as client:
    with client.grant("arm/notes").open("r") as notes:
        print(notes.read())
    for resource, mode in (("arm/nothing", None), ("arm/notes", "write")):
        try:
            client.grant(resource, mode)
        except ipcnet.IpcnetError as error:
            print(error.status)
    client.on_leaving(lambda notice: (print("leaving", notice.deadline_ms > 0), notice.ready()))
    print("waiting", flush=True)
    try:
        client.run()
    except ipcnet.IpcnetError as error:
        print(error.status)
`], leaving.socketPath);
    await eventually("it waits", () => program.lines.includes("waiting"), { timeoutMs: PATIENCE_MS, last: () => program.lines });
    // This one does not care, and holds nobody up.
    const careless = startPython(["-c", "import ipcnet\nclient = ipcnet.connect()\nprint('waiting', flush=True)\nclient.run()"], leaving.socketPath);
    await eventually("the other one, too", () => careless.lines.includes("waiting"), { timeoutMs: PATIENCE_MS });
    await leaving.stop();
    const { code, errors } = await program.ended;
    assert.equal(code, 0, errors);
    assert.doesNotMatch(leaving.log(), /not prepared in time/);
    await careless.ended;
    assert.deepEqual(program.lines, ["what was seen", "203", "209", "waiting", "leaving True", "303"]);
    other.remove();
  });

  test("with reconnect a program comes back to a new gateway, with its topics, subscriptions and services", { timeout: 2 * PATIENCE_MS }, async () => {
    const other = testFolder();
    const first = await startDaemon(other.path, "version: 1\nrobot: first\n");
    const program = startPython(["-c", `
import asyncio, ipcnet.aio
async def main():
    async with ipcnet.aio.connect(reconnect=True) as client:
        writer = await client.advertise("back/there", "cbor")
        await client.offer("back/echo", lambda body: body)
        async for message in await client.subscribe("back/here", policy="queue"):
            writer.publish(message.value)
asyncio.run(main())
`], first.socketPath);
    const answers = async (daemonClient: Client): Promise<void> => {
      await eventually("the service is there", async () => (await daemonClient.find("services", "back/echo")).length > 0, { timeoutMs: PATIENCE_MS });
      assert.equal(await daemonClient.request("back/echo", 5), 5);
      const writer = await daemonClient.advertise("back/here", { encoding: "cbor" });
      const heard: unknown[] = [];
      await daemonClient.subscribe("back/there", {}, ({ value }) => heard.push(value));
      await eventually("what is said comes back", () => {
        writer.publish(heard.length);
        return heard.length >= 3;
      }, { timeoutMs: PATIENCE_MS });
    };
    const one = await first.connect();
    await answers(one);
    first.process.kill("SIGKILL");
    await first.ended;
    await one.close();
    const second = await startDaemon(other.path, "version: 1\nrobot: second\n");
    const two = await second.connect();
    await answers(two);
    await two.close();
    await program.stop();
    await second.stop();
    other.remove();
  });

  test("the wheel is built with the standard library alone, and a program talks with nothing but it", { timeout: 3 * PATIENCE_MS }, async () => {
    const wheels = join(folder.path, "wheels");
    const installed = join(folder.path, "installed");
    const build = (): string => execFileSync("python3", ["-I", join(pythonPackage, "build_wheel.py"), wheels], { encoding: "utf8", env: pythonEnvironment(), stdio: ["ignore", "pipe", "inherit"] }).trim();
    const name = build();
    assert.match(name, /^ipcnet-\d+\.\d+\.\d+-py3-none-linux_\w+\.whl$/);
    assert.deepEqual(readdirSync(wheels), [name]);
    // What an installer does with a wheel of this kind, with every hash of its record.
    execFileSync("python3", ["-I", "-c", `
import base64, csv, hashlib, os, sys, zipfile
wheel, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    archive.extractall(target)
    record = next(n for n in archive.namelist() if n.endswith(".dist-info/RECORD"))
rows = list(csv.reader(open(os.path.join(target, record))))
for path, digest, size in rows:
    if digest:
        data = open(os.path.join(target, path), "rb").read()
        assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode() and int(size) == len(data), path
assert any(path == "ipcnet/libipcnet.so" for path, _, _ in rows) and any(path == "ipcnet/py.typed" for path, _, _ in rows)
`, join(wheels, name), installed], { stdio: ["ignore", "ignore", "inherit"] });
    assert.ok(existsSync(join(installed, "ipcnet/libipcnet.so")));
    const script = `
import ipcnet, os
assert ipcnet.library().path == os.path.join(${JSON.stringify(installed)}, "ipcnet", "libipcnet.so"), ipcnet.library().path
with ipcnet.connect(name="wheel") as client:
    print(client.gateway["robot"], client.request("gateway/status")["state"] is not None)
`;
    const program = python(["-c", script], { PYTHONPATH: installed });
    const { code, errors } = await program.ended;
    assert.equal(code, 0, errors);
    assert.deepEqual(program.lines, ["snake True"]);
    // The same sources give the same bytes.
    const first = createHash("sha256").update(readFileSync(join(wheels, name))).digest("hex");
    build();
    assert.equal(createHash("sha256").update(readFileSync(join(wheels, name))).digest("hex"), first);
  });
});
