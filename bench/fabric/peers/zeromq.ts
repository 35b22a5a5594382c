/** zeromq.js over ipc://: PAIR for one leaf, PUB/SUB and PUSH/PULL for several. */
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { library, missingLibrary } from "../library.ts";
import { type Endpoint, nothingBetween, type Peer } from "../peer.ts";

interface Socket {
  bind(address: string): Promise<void>;
  connect(address: string): void;
  subscribe?(topic: string): void;
  send(message: Uint8Array | readonly Uint8Array[]): Promise<void>;
  receive(): Promise<Uint8Array[]>;
  close(): void;
  linger: number;
}
type Zmq = Record<"Pair" | "Publisher" | "Subscriber" | "Push" | "Pull", new (options?: object) => Socket>;

/** A socket takes one message at a time: the next waits until it has been taken. */
class Sender {
  readonly #socket: Socket;
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  send(bytes: Uint8Array): boolean {
    if (this.#waiting === 0) {
      this.#waiting += 1;
      this.#last = this.#socket.send(bytes).finally(() => (this.#waiting -= 1));
    } else {
      this.#waiting += 1;
      this.#last = this.#last.then(() => this.#socket.send(bytes)).finally(() => (this.#waiting -= 1));
    }
    return this.#waiting < 64;
  }

  drained(): Promise<void> {
    return this.#last;
  }
}

async function receive(socket: Socket, take: (parts: Uint8Array[]) => void): Promise<void> {
  for (;;) {
    let parts: Uint8Array[];
    try {
      parts = await socket.receive();
    } catch {
      return; // closed
    }
    take(parts);
  }
}

function endpoint(sender: Sender, sockets: readonly Socket[]): Endpoint {
  return {
    send: (bytes) => sender.send(bytes),
    drained: () => sender.drained(),
    close: () => {
      for (const socket of sockets) socket.close();
      return Promise.resolve();
    },
  };
}

export const zeromq: Peer = {
  name: "zeromq.js",
  flow: "window",
  payloadBytesMax: Infinity,
  missing: () => missingLibrary("zeromq"),
  start: (folder) => Promise.resolve({ ...nothingBetween, at: `ipc://${join(folder, "zmq")}` }),
  async hub({ at, leaves }, listener) {
    const zmq = library("zeromq") as Zmq;
    if (leaves === 1) {
      const pair = new zmq.Pair();
      await pair.bind(`${at}-pair`);
      void receive(pair, ([bytes]) => listener(bytes!, 0));
      return endpoint(new Sender(pair), [pair]);
    }
    const down = new zmq.Publisher({ sendHighWaterMark: 0 });
    const up = new zmq.Pull();
    await down.bind(`${at}-down`);
    await up.bind(`${at}-up`);
    void receive(up, ([leaf, bytes]) => listener(bytes!, leaf![0]!));
    return endpoint(new Sender(down), [down, up]);
  },
  async leaf({ at, leaves }, index, listener) {
    const zmq = library("zeromq") as Zmq;
    if (leaves === 1) {
      const pair = new zmq.Pair();
      pair.connect(`${at}-pair`);
      void receive(pair, ([bytes]) => listener(bytes!, 0));
      return endpoint(new Sender(pair), [pair]);
    }
    const down = new zmq.Subscriber({ receiveHighWaterMark: 0 });
    const up = new zmq.Push();
    down.connect(`${at}-down`);
    down.subscribe!("");
    up.connect(`${at}-up`);
    // A subscription that has not arrived yet loses messages without a word; there is nothing to wait for.
    await delay(500);
    void receive(down, ([bytes]) => listener(bytes!, 0));
    const leaf = Uint8Array.of(index);
    return endpoint(new Sender({ ...up, send: (bytes: Uint8Array) => up.send([leaf, bytes]) } as unknown as Socket), [down, up]);
  },
};
