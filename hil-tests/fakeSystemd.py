"""What systemd does for the pair: a notification socket with a descriptor store, and a start with what is in it. Says and is told one JSON value a line."""
import array, json, os, select, socket, sys

path, program = sys.argv[1], sys.argv[2:]
store = []
said = []
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path)


def take():
    """One notification."""
    text, ancillary, _, _ = notify.recvmsg(4096, socket.CMSG_SPACE(16 * 4))
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % 4])
    fields = dict(line.split("=", 1) for line in text.decode().split("\n") if "=" in line)
    name = fields.get("FDNAME", "stored")
    if "FDSTORE" not in fields and "FDSTOREREMOVE" not in fields:
        said.append(text.decode())
    if fields.get("FDSTOREREMOVE") == "1":
        for entry in [e for e in store if e[0] == name]:
            store.remove(entry)
            os.close(entry[1])
    elif fields.get("FDSTORE") == "1":
        store.extend((name, fd) for fd in fds)


def lines():
    """The orders, one a line. Whatever was notified before one comes is taken before it: an answer knows all of it."""
    rest = b""
    while True:
        ready = select.select([0, notify], [], [])[0]
        while select.select([notify], [], [], 0)[0]:
            take()
        if 0 not in ready:
            continue
        some = os.read(0, 65536)
        if not some:
            return
        *whole, rest = (rest + some).split(b"\n")
        yield from whole


def start(extra):
    given = [(name, os.dup(fd)) for name, fd in store] + [(name, os.open("/dev/null", os.O_RDONLY)) for name in extra]
    child = os.fork()
    if child == 0:
        # Out of the way of the places that they are to have.
        high = [(name, os.dup2(fd, 500 + i)) for i, (name, fd) in enumerate(given)]
        for i, (_, fd) in enumerate(high):
            os.dup2(fd, 3 + i, inheritable=True)
        os.closerange(3 + len(high), 1000)
        env = dict(os.environ, NOTIFY_SOCKET=path, LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=":".join(name for name, _ in high))
        os.dup2(2, 1)
        os.execvpe(program[0], program, env)
    for _, fd in given:
        os.close(fd)
    return child


for line in lines():
    order = json.loads(line)
    if order["do"] == "start":
        answer = start(order.get("extra", []))
    elif order["do"] == "kill":
        os.kill(order["pid"], 9)
        os.waitpid(order["pid"], 0)
        answer = True
    elif order["do"] == "said":
        answer = list(said)
    else:
        answer = sorted(name for name, _ in store)
    print(json.dumps(answer), flush=True)
