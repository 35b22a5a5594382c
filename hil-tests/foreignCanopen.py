"""A CANopen client that is none of ours (the package canopen of PyPI) talks to a node; frames come and go as lines on standard input and output: "585 43181001...". What it finds is said on standard error, one JSON object a line."""
import json
import queue
import struct
import sys
import threading

import can
import canopen

NODE = int(sys.argv[1])
IMAGE = sys.argv[2]
PATIENCE_S = 30


class Lines(can.BusABC):
    """python-can's bus over two pipes."""

    def __init__(self):
        super().__init__(channel="pipes")
        self.frames = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in sys.stdin:
            number, data = line.rstrip("\n").split(" ")
            self.frames.put(can.Message(arbitration_id=int(number, 16), data=bytes.fromhex(data), is_extended_id=False))

    def _recv_internal(self, timeout):
        try:
            return self.frames.get(timeout=timeout), False
        except queue.Empty:
            return None, False

    def send(self, message, timeout=None):
        sys.stdout.write(f"{message.arbitration_id:x} {bytes(message.data).hex()}\n")
        sys.stdout.flush()


def say(what, value):
    sys.stderr.write(json.dumps({"what": what, "value": value}) + "\n")
    sys.stderr.flush()


network = canopen.Network(bus=Lines())
network.notifier = can.Notifier(network.bus, network.listeners, 0.5)
node = canopen.RemoteNode(NODE, canopen.ObjectDictionary())
node.sdo.RESPONSE_TIMEOUT = PATIENCE_S
network.add_node(node)


def await_state(wanted):
    for _ in range(100):
        if node.nmt.wait_for_heartbeat(PATIENCE_S) == wanted:
            return wanted
    return node.nmt.state


def number(index, sub):
    return struct.unpack("<I", node.sdo.upload(index, sub))[0]


def refused(index, sub, data):
    try:
        node.sdo.download(index, sub, data)
    except canopen.SdoAbortedError as error:
        return error.code
    return 0


say("heartbeat", await_state("OPERATIONAL"))
say("identity", [number(0x1018, sub) for sub in range(1, 5)])
say("texts", [node.sdo.upload(0x1008, 0).decode(), node.sdo.upload(0x100A, 0).decode()])
say("abort", [refused(0x1017, 0, b"\x01\x00"), refused(0x5000, 0, b"\x01")])
# What it does not know disturbs it not: CANopen's own TIME and SYNC.
network.time.transmit()
network.sync.transmit()
node.nmt.state = "PRE-OPERATIONAL"
say("pre-operational", await_state("PRE-OPERATIONAL"))
node.nmt.state = "OPERATIONAL"
say("operational", await_state("OPERATIONAL"))
# A heartbeat with its number from somebody else.
network.send_message(0x700 + NODE, b"\x05")
emcy = node.emcy.wait(0x8150, timeout=PATIENCE_S)
say("emcy", [emcy.code, emcy.register] if emcy else None)
# Firmware by this client's own transfers: in blocks with its own CRC, or segment by segment if that fails. (On a busy machine a block may be acknowledged in part, and this client cannot repeat the last one.)
node.nmt.state = "PRE-OPERATIONAL"
await_state("PRE-OPERATIONAL")
with open(IMAGE, "rb") as file:
    image = file.read()


def transfer(block):
    try:
        with node.sdo.open(0x1F50, 1, "wb", buffering=0, size=len(image), block_transfer=block) as to:
            at = 0
            while at < len(image):
                at += to.write(image[at:at + 7])
        return True
    except (RuntimeError, canopen.SdoCommunicationError, canopen.SdoAbortedError) as error:
        sys.stderr.write(f"transfer: {error}\n")
        node.sdo.abort(0x08000000)
        return False


transferred = next((how for how in ("block", "block", "block", "segmented", "segmented", "segmented") if transfer(how == "block")), None)
say("transferred", transferred)
node.sdo.download(0x1F51, 1, b"\x01")
node.nmt.wait_for_bootup(PATIENCE_S)
await_state("OPERATIONAL")
report = node.sdo.upload(0x2F00, 1)
say("on probation", [report[1], report[2] & 1, struct.unpack_from("<I", report, 8)[0]])
node.sdo.download(0x2F01, 1, b"CONF")
report = node.sdo.upload(0x2F00, 1)
say("confirmed", [report[1], report[2] & 1, report[4]])
network.notifier.stop(1)
