/** Opens a resource of the configuration. Nothing here waits on the event loop's thread. */
import { close, constants, fstat, open, type Stats } from "node:fs";
import { Socket } from "node:net";
import type { Clock } from "../../schemas/clock.ts";
import type { ConnectResource, Resource } from "../../schemas/messages/config.ts";
import type { GrantMode } from "../../shm/protocol/serviceMessages.ts";
import { Descriptor } from "../../shm/sockets/index.ts";

/** Why a resource could not be opened, for people; the system's code is in it. */
export class ResourceTrouble extends Error {}

/** Opening a device may hang in its driver: the program is told after this, ms; what comes of it later is closed. Below the client's own patience for `grant`. */
const OPEN_TIMEOUT_MS = 5_000;

const access = { read: constants.O_RDONLY, write: constants.O_WRONLY, readWrite: constants.O_RDWR } as const satisfies Record<GrantMode, number>;

/** Resolves with a descriptor (close-on-exec) of its own for each call, or rejects with a `ResourceTrouble`. */
export function openResource(resource: Resource, mode: GrantMode, clock: Clock): Promise<Descriptor> {
  if ("connect" in resource) return connect(resource, clock);
  // Not blocking: a pipe or a serial line without its other end would keep a thread of the pool for ever. It stays set on a device: who wants to wait clears it.
  const common = constants.O_NONBLOCK | constants.O_NOCTTY;
  if ("device" in resource) return openPath(resource.device, access[mode] | common, (stats) => stats.isCharacterDevice() || stats.isBlockDevice(), "a device", clock);
  if ("directory" in resource) return openPath(resource.directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW, (stats) => stats.isDirectory(), "a folder", clock);
  return openPath(resource.file, access[mode] | common | constants.O_NOFOLLOW, (stats) => stats.isFile(), "a plain file", clock);
}

function openPath(path: string, flags: number, isWanted: (stats: Stats) => boolean, what: string, clock: Clock): Promise<Descriptor> {
  return new Promise((resolve, reject) => {
    let over = false;
    const refuse = (text: string): void => {
      if (over) return;
      over = true;
      cancel();
      reject(new ResourceTrouble(text));
    };
    const cancel = clock.at(clock.nowUs() + OPEN_TIMEOUT_MS * 1e3, () => refuse(`${path} did not open within ${OPEN_TIMEOUT_MS} ms`));
    // libuv adds O_CLOEXEC.
    open(path, flags, (error, fd) => {
      if (error) return refuse(`${path} cannot be opened (${error.code ?? error.message})`);
      fstat(fd, (statError, stats) => {
        if (!statError && isWanted(stats) && !over) {
          over = true;
          cancel();
          return resolve(Descriptor.adopt(fd));
        }
        close(fd, () => refuse(statError ? `${path} cannot be looked at (${statError.code ?? statError.message})` : `${path} is not ${what}`));
      });
    });
  });
}

function connect({ connect: where, timeoutMs }: ConnectResource, clock: Clock): Promise<Descriptor> {
  return new Promise((resolve, reject) => {
    const socket = new Socket();
    const refuse = (text: string): void => {
      cancel();
      socket.destroy();
      reject(new ResourceTrouble(text));
    };
    const cancel = clock.at(clock.nowUs() + timeoutMs * 1e3, () => refuse(`${where} did not answer within ${timeoutMs} ms`));
    socket.once("error", (error: NodeJS.ErrnoException) => refuse(`${where} cannot be reached (${error.code ?? error.message})`));
    // Paused before it connects: what the other side says first is for whoever gets the descriptor.
    socket.pause();
    socket.connect(addressOf(where), () => {
      cancel();
      try {
        resolve(Descriptor.copyOf(descriptorOf(socket)));
      } catch (error) {
        reject(new ResourceTrouble(`${where}: ${error instanceof Error ? error.message : String(error)}`));
      }
      // Closes Node's own descriptor; the connection lives on in the copy.
      socket.destroy();
    });
  });
}

function addressOf(where: string): { path: string } | { host: string; port: number } {
  if (where.startsWith("unix:")) return { path: where.slice("unix:".length) };
  const { hostname, port } = new URL(where.replace(/^tcp:/, "http:"));
  return { host: hostname.replace(/^\[|\]$/g, ""), port: port === "" ? 80 : Number(port) };
}

/** Node tells it nowhere else; the field is there since the beginnings of libuv, and without it the grant is refused. */
function descriptorOf(socket: Socket): number {
  const fd = (socket as unknown as { _handle?: { fd?: unknown } })._handle?.fd;
  if (typeof fd !== "number" || fd < 0) throw new Error("this version of Node does not tell a socket's descriptor");
  return fd;
}
