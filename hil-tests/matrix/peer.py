"""The matrix in Python: ``peer.py write SOCKET CASES NAME READERS``, ``peer.py read SOCKET CASES NAME WRITER`` ``peer.py plain SOCKET CASES NAME -`` or ``peer.py guest SOCKET CASES NAME -``. README.md says what each does; JSON lines on stdout."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from typing import Any, Callable, Dict, List

import ipcnet

ROLE, SOCKET, CASES_FILE, NAME, OTHER = sys.argv[1:6]
with open(CASES_FILE, encoding="utf-8") as file:
    CASES: Dict[str, Any] = json.load(file)
BLOCK_BYTES = 4093


def pattern(seed: int, length: int) -> bytes:
    """See cases.ts."""
    block, state = bytearray(min(length, BLOCK_BYTES)), seed
    for i in range(len(block)):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        block[i] = state >> 24
    return (bytes(block) * (length // BLOCK_BYTES + 1))[:length]


def say(**line: Any) -> None:
    sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def sha(data: Any) -> str:
    return hashlib.sha256(data).hexdigest()


def message_count(topic: Dict[str, Any]) -> int:
    for key in ("values", "patterns", "tensors", "frames"):
        if key in topic:
            return len(topic[key])
    return int(topic["inputs"] if "inputs" in topic else topic["burst"]["count"])


def advertise(client: ipcnet.Client, name: str, topic: Dict[str, Any]) -> ipcnet.Writer:
    return client.advertise(
        name, topic["encoding"], fields={field["name"]: {key: value for key, value in field.items() if key != "name"} for field in topic["fields"]} if "fields" in topic else None,
        json_schema=json.dumps(topic["jsonSchema"]) if "jsonSchema" in topic else None, policy=topic.get("policy", "queue"), queue=topic.get("queue", 0), payload_bytes_max=topic.get("payloadBytesMax", 0),
        deadline=20 if topic.get("policy") == "lossless" else 0,
    )


def until(client: ipcnet.Client, condition: Callable[[], bool]) -> None:
    while not condition():
        client.poll(0.005)


# --- writing ---


def write(client: ipcnet.Client, readers: int) -> None:
    offer_all(client)
    inputs: List[ipcnet.Message] = []
    client.subscribe("matrix/input", inputs.append, policy="queue")
    writers = [advertise(client, f"matrix/{NAME}/{topic['name']}", topic) for topic in CASES["topics"]]
    say(advertised=len(writers))
    until(client, lambda: all(writer.readers >= readers for writer in writers))
    for topic, writer in zip(CASES["topics"], writers):
        publish_all(client, topic, writer, inputs)
    say(published=True)
    client.run()


def publish_all(client: ipcnet.Client, topic: Dict[str, Any], writer: ipcnet.Writer, inputs: List[ipcnet.Message]) -> None:
    options = topic.get("options")
    marks = {"ttl": options["ttlMs"] / 1000, "quality": options["quality"], "key_frame": options["keyFrame"]} if options else {}
    for value in topic.get("values", []):
        writer.publish(value, **marks)
    for one in topic.get("patterns", []):
        writer.publish(pattern(one["seed"], one["length"]))
    for one in topic.get("tensors", []):
        writer.publish(ipcnet.Tensor(one["dtype"], one["shape"], pattern(one["seed"], one["dataBytes"]), one["strides"]))
    for one in topic.get("frames", []):
        writer.publish(ipcnet.Video(one["fourcc"], one["width"], one["height"], pattern(one["seed"], one["dataBytes"]), pts_ns=one["ptsNs"]))
    if "inputs" in topic:
        until(client, lambda: len(inputs) >= topic["inputs"])
        for message in inputs:
            writer.publish({"from": message.value}, lineage=[message])
    if "burst" in topic:
        for seed in range(1, topic["burst"]["count"] + 1):
            while not writer.publish(pattern(seed, topic["burst"]["length"])):
                writer.space()


def offer_all(client: ipcnet.Client) -> None:
    cancelled: Dict[int, int] = {}

    def at(service: str) -> Callable[[Any], Any]:
        decorate: Callable[[Any], Any] = client.offer(f"matrix/{NAME}/{service}", capacity=8)
        return decorate

    def count_cancel(call: ipcnet.Call) -> None:
        cancelled[call.pid] = cancelled.get(call.pid, 0) + 1

    @at("echo")
    def echo(body: Any) -> Any:
        return body

    @at("refuse")
    def refuse(_: Any) -> Any:
        raise ipcnet.IpcnetError(CASES["refusal"]["status"], CASES["refusal"]["text"])

    @at("count")
    def count(_: Any) -> Any:
        for i in range(CASES["stream"]["count"]):
            yield {"i": i, "square": i * i}

    @at("endless")
    def endless(_: Any, call: ipcnet.Call) -> Any:
        i = 0
        try:
            while True:
                yield i
                i += 1
        finally:
            count_cancel(call)

    @at("never")
    def never(_: Any, call: ipcnet.Call) -> Any:
        def cancelled_by(why: str) -> None:
            count_cancel(call)
            call.answer(ipcnet.IpcnetError(204, why))

        call.on_cancel(cancelled_by)
        return ipcnet.LATER

    for group in CASES["groups"]:
        client.offer(f"matrix/{NAME}/which", which(group), capacity=8, group=group)

    @at("handed")
    def handed(_: Any) -> Any:
        for i, one in enumerate(CASES["handed"]):
            with ipcnet.seal_bytes(pattern(one["seed"], one["length"])) as sealed:
                yield ipcnet.Reply(i, [sealed])

    @at("cancelled")
    def how_many(_: Any, call: ipcnet.Call) -> int:
        return cancelled.get(call.pid, 0)

    @at("file")
    def turn(body: Any, call: ipcnet.Call) -> Any:
        received = ipcnet.media.decode("file", body)
        with call.take_fd() as fd:
            content = bytes(ipcnet.file_of(received, fd).content).translate(bytes(255 - byte for byte in range(256)))
        reply = ipcnet.File(f"turned {received.name}", None, received.type, len(content), hashlib.sha256(content).digest())
        return ipcnet.Reply(ipcnet.media.encode(reply), [ipcnet.seal_bytes(content)])


def guest(client: ipcnet.Client) -> None:
    def leaving(notice: ipcnet.LeavingNotice) -> None:
        say(told=notice.deadline_ms, given=notice.more_time(notice.deadline_ms + 2000))
        notice.ready()
        say(ready=True)

    client.on_leaving(leaving)
    client.announce(version="1.2")
    with client.grant("notes", "read").open("r") as notes:
        granted = notes.read()
    announced = [entry.get("announced") for entry in client.find("components") if entry["name"] == f"{NAME}-guest"]
    say(guest=True, granted=granted, announced=announced[0])
    try:
        client.run()
    except ipcnet.IpcnetError as error:
        if error.status != 303:
            raise


def which(group: str) -> Callable[[Any], str]:
    return lambda _: group


# --- reading ---


def read(client: ipcnet.Client, writer: str) -> None:
    left = set()
    for topic in CASES["topics"]:
        left.add(topic["name"])
        client.subscribe(f"matrix/{writer}/{topic['name']}", Receiver(topic, left), policy="lossless" if topic.get("policy") == "lossless" else "queue", queue=4096)
    say(subscribed=True)
    until(client, lambda: not left)
    for topic in CASES["topics"]:
        advertised(client, f"matrix/{writer}/{topic['name']}", topic, {"case": topic["name"]})
    for mismatch in CASES["mismatches"]:
        advertised(client, f"matrix/{writer}/{mismatch['topic']}", mismatch, {"mismatch": mismatch["topic"]})
    call_all(client, f"matrix/{writer}/")
    say(end=True)


def advertised(client: ipcnet.Client, name: str, topic: Dict[str, Any], what: Dict[str, str]) -> None:
    try:
        advertise(client, name, topic).close()
        say(**what, advertised=100)
    except ipcnet.IpcnetError as error:
        say(**what, advertised=int(error.status), text=str(error))


class Receiver:
    """Says what comes on a topic, and that nothing more is waited for when all has come."""

    def __init__(self, topic: Dict[str, Any], left: Any) -> None:
        self.topic, self.left, self.sequences, self.lost, self.all = topic, left, [], 0, hashlib.sha256()

    def __call__(self, message: ipcnet.Message) -> None:
        self.sequences.append(message.sequence)
        self.lost += message.lost_before
        name, last = self.topic["name"], message.sequence >= message_count(self.topic)
        if "burst" in self.topic:
            self.all.update(message.bytes)
            if last:
                say(case=name, sequences=self.sequences, lost=self.lost, sha=self.all.hexdigest())
        else:
            say(case=name, **report(message))
        if last:
            self.left.discard(name)


def report(message: ipcnet.Message) -> Dict[str, Any]:
    return {
        "sequence": message.sequence, "lost": message.lost_before, "origin": message.origin, "quality": message.quality, "ttlMs": message.ttl_ms, "keyFrame": message.key_frame, "bytes": len(message.bytes),
        "sha": sha(message.bytes), "ageMs": (time.monotonic_ns() - message.time_ns) / 1e6, "wallAgeMs": (time.time_ns() - message.wall_time_ns) / 1e6,
        "lineage": [[f"{entry.origin:016x}", f"{entry.topic:016x}", entry.sequence] for entry in message.lineage], "value": plain(message.value),
    }


def plain(value: Any) -> Any:
    """Media as what describes them and the hash of their data."""
    if isinstance(value, ipcnet.Tensor):
        return {"type": list(ipcnet.tensor.parse_dtype(value.dtype)), "shape": list(value.shape), "strides": list(value.strides), "sha": sha(value.data)}
    if isinstance(value, ipcnet.Video):
        return {"fourcc": value.fourcc, "width": value.width, "height": value.height, "ptsNs": value.pts_ns, "planes": [list(plane) for plane in value.planes], "sha": sha(value.data)}
    return None if isinstance(value, (bytes, memoryview)) else value


def call_all(client: ipcnet.Client, at: str) -> None:
    for index, body in enumerate(CASES["echoes"]):
        answered(f"echo {index}", lambda body=body: client.request(f"{at}echo", body))
    answered("bytes", lambda: sha(client.request(f"{at}echo", pattern(CASES["bytes"]["seed"], CASES["bytes"]["length"]))))
    answered("refuse", lambda: client.request(f"{at}refuse"))
    answered("count", lambda: list(client.stream(f"{at}count", credit=CASES["stream"]["credit"])))
    for group in [*CASES["groups"], "nobody"]:
        answered(f"which {group}", lambda group=group: client.request(f"{at}which", group=group))
    answered("handed", lambda: [{"i": item.body, "sha": sealed_sha(item.descriptors[0])} for item in client.stream_full(f"{at}handed", credit=len(CASES["handed"]))])
    answered("endless", lambda: first_items(client, f"{at}endless"))
    answered("never", lambda: client.request(f"{at}never", timeout=CASES["deadlineMs"] / 1000))
    until(client, lambda: client.request(f"{at}cancelled") == 2)
    say(call="cancelled", status=100, body=True)
    answered("file", lambda: turned_file(client, f"{at}file"))


def sealed_sha(fd: ipcnet.Descriptor) -> str:
    with fd:
        return sha(ipcnet.open_sealed(fd))


def first_items(client: ipcnet.Client, service: str) -> List[Any]:
    items: List[Any] = []
    stream = client.stream(service, credit=4)
    for item in stream:
        items.append(item)
        if len(items) == CASES["cancelAfter"]:
            break
    stream.close()
    return items


def turned_file(client: ipcnet.Client, service: str) -> Any:
    wanted = CASES["file"]
    content = pattern(wanted["seed"], wanted["length"])
    header = ipcnet.media.encode(ipcnet.File(wanted["name"], None, wanted["type"], len(content), hashlib.sha256(content).digest()))
    with ipcnet.seal_bytes(content) as sealed:
        reply = client.request_full(service, header, fds=[sealed])
    got = ipcnet.media.decode("file", reply.body)
    with reply.descriptors[0] as fd:
        turned = ipcnet.file_of(got, fd)
        return {"name": turned.name, "type": turned.type, "size": ipcnet.sealed_size(fd), "sha": sha(turned.content)}


def answered(call: str, ask: Callable[[], Any]) -> None:
    try:
        say(call=call, status=100, body=ask())
    except ipcnet.IpcnetError as error:
        say(call=call, status=int(error.status), text=str(error))


def end_with_input() -> None:
    """Whoever started this program may end it by closing its input."""
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
with ipcnet.connect(SOCKET, name=f"{NAME}-{ROLE}", timeout=20) as connected:
    if ROLE == "write":
        write(connected, int(OTHER))
    elif ROLE == "plain":
        plain = connected.advertise(f"matrix/plain/{NAME}")
        say(advertised=1)
        connected.run()
    elif ROLE == "guest":
        guest(connected)
    else:
        read(connected, OTHER)
