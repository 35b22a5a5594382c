/**
 * Who may connect to the embedded broker, and what they may publish and subscribe.
 *
 * Passwords are kept as scrypt hashes: `scrypt$<log2 N>$<r>$<p>$<salt, base64>$<hash, base64>` (RFC 7914). Comparison takes the same
 * time for every wrong password and for unknown names. One check costs about 50 ms of a worker thread and 16 MiB, so only two run at a
 * time and few may wait; after a success the password is remembered as a keyed digest for as long as the process runs.
 */
import { createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { DriverError } from "../driver.ts";
import { patternCovers } from "../../schemas/topics/patterns.ts";
import { topicMatches } from "../../schemas/topics/topicName.ts";
import { mqttFilterFault } from "./topics.ts";

export interface MqttPermissions {
  /** Topic filters that may be published to. */
  publish: readonly string[];
  /** Topic filters that may be subscribed: a subscription must lie within one of them as a whole. */
  subscribe: readonly string[];
}

export interface MqttUser extends MqttPermissions {
  name: string;
  /** As `hashPassword` writes it. */
  passwordScrypt: string;
}

const COST_LOG2 = 14;
const BLOCK_SIZE = 8;
const PARALLEL = 1;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Bounds for hashes from a configuration: 2^17 · 8 is 128 MiB, the most a robot's computer should spend on a password. */
const COST_LOG2_MAX = 17;
const CHECKS_AT_ONCE = 2;
const CHECKS_WAITING_MAX = 32;

interface ScryptHash {
  costLog2: number;
  blockSize: number;
  parallel: number;
  salt: Buffer;
  hash: Buffer;
}

function derive(password: string | Uint8Array, { costLog2, blockSize, parallel, salt, hash }: ScryptHash): Promise<Buffer> {
  const N = 2 ** costLog2;
  return new Promise((resolve, reject) => {
    scrypt(password, salt, hash.length, { N, r: blockSize, p: parallel, maxmem: 256 * N * blockSize }, (error, key) => (error ? reject(error) : resolve(key)));
  });
}

/** Hashes a password for the configuration. Cost: about 50 ms. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const key = await derive(password, { costLog2: COST_LOG2, blockSize: BLOCK_SIZE, parallel: PARALLEL, salt, hash: Buffer.alloc(HASH_BYTES) });
  return `scrypt$${COST_LOG2}$${BLOCK_SIZE}$${PARALLEL}$${salt.toString("base64")}$${key.toString("base64")}`;
}

/** Undefined when the text is not a hash that we would check. */
export function parsePasswordHash(text: string): ScryptHash | undefined {
  const match = /^scrypt\$(\d{1,2})\$(\d{1,2})\$(\d)\$([A-Za-z0-9+/=]{8,128})\$([A-Za-z0-9+/=]{16,172})$/.exec(text);
  if (!match) return undefined;
  const costLog2 = Number(match[1]);
  const blockSize = Number(match[2]);
  const parallel = Number(match[3]);
  const salt = Buffer.from(match[4]!, "base64");
  const hash = Buffer.from(match[5]!, "base64");
  if (costLog2 < 10 || costLog2 > COST_LOG2_MAX || blockSize < 1 || blockSize > 8 || parallel < 1 || hash.length < 16 || salt.length < 8) return undefined;
  return { costLog2, blockSize, parallel, salt, hash };
}

/**
 * Reads a password file: its first line is the password itself, or a hash as above. Rejects with a `DriverError` when the file cannot be
 * read or when anybody may read it.
 */
export async function readPasswordFile(path: string): Promise<string> {
  try {
    const [text, { mode }] = await Promise.all([readFile(path, "utf8"), stat(path)]);
    if ((mode & 0o007) !== 0) throw new DriverError("passwordFileOpen", `everybody may read the password in ${path}`, `chmod o-rwx ${path}`);
    const line = text.split(/\r?\n/, 1)[0]!;
    if (line === "") throw new DriverError("passwordFileEmpty", `${path} begins with an empty line`, `write the password into the first line of ${path}`);
    return line;
  } catch (error) {
    if (error instanceof DriverError) throw error;
    throw new DriverError("passwordFileMissing", `cannot read the password in ${path}: ${(error as Error).message}`, `create ${path} with the password in its first line and mode 0640`, { cause: error });
  }
}

/** `scrypt$…` stays as it is, anything else is taken for the password and hashed. */
export async function passwordHashOf(line: string): Promise<string> {
  return line.startsWith("scrypt$") ? line : hashPassword(line);
}

export type LoginVerdict = "accepted" | "refused" | "busy";

interface Account {
  user: MqttUser;
  hash: ScryptHash;
  /** Keyed digest of the password that was right last time. */
  known: Buffer | undefined;
}

/** The broker's list of users. Throws a `DriverError` for an entry that would silently lock somebody out or let somebody in. */
export class Accounts {
  readonly #accounts = new Map<string, Account>();
  readonly #digestKey = randomBytes(32);
  readonly #nobody: ScryptHash;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(users: readonly MqttUser[]) {
    this.#nobody = { costLog2: COST_LOG2, blockSize: BLOCK_SIZE, parallel: PARALLEL, salt: randomBytes(SALT_BYTES), hash: randomBytes(HASH_BYTES) };
    for (const user of users) {
      const hash = parsePasswordHash(user.passwordScrypt);
      if (!hash) throw new DriverError("passwordHashBad", `the password hash of MQTT user ${user.name} is not scrypt$…`, "write the password into a file of mode 0640 and name that file (passwordFile) instead");
      if (this.#accounts.has(user.name)) throw new DriverError("userTwice", `MQTT user ${user.name} is listed twice`, "remove one of the two entries");
      checkFilters(user);
      this.#accounts.set(user.name, { user, hash, known: undefined });
    }
  }

  get size(): number {
    return this.#accounts.size;
  }

  permissions(name: string): MqttPermissions | undefined {
    return this.#accounts.get(name)?.user;
  }

  async login(name: string, password: Uint8Array): Promise<LoginVerdict> {
    const account = this.#accounts.get(name);
    const digest = createHmac("sha256", this.#digestKey).update(name).update("\0").update(password).digest();
    if (account?.known && timingSafeEqual(account.known, digest)) return "accepted";
    if (this.#running >= CHECKS_AT_ONCE) {
      if (this.#waiting.length >= CHECKS_WAITING_MAX) return "busy";
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    this.#running += 1;
    try {
      const expected = account?.hash ?? this.#nobody;
      const right = timingSafeEqual(await derive(password, expected), expected.hash);
      if (!right || !account) return "refused";
      account.known = digest;
      return "accepted";
    } finally {
      this.#running -= 1;
      this.#waiting.shift()?.();
    }
  }
}

/** Throws a `DriverError` for a filter that MQTT does not know. */
export function checkFilters({ publish, subscribe, name = "anonymous" }: MqttPermissions & { name?: string }): void {
  for (const filter of [...publish, ...subscribe]) {
    const fault = mqttFilterFault(filter);
    if (fault !== undefined) throw new DriverError("filterBad", `MQTT user ${name}: ${JSON.stringify(filter)}: ${fault}`, "correct the topic filter");
  }
}

export function mayPublish({ publish }: MqttPermissions, topic: string): boolean {
  return publish.some((filter) => topicMatches(filter, topic));
}

export function maySubscribe({ subscribe }: MqttPermissions, filter: string): boolean {
  return subscribe.some((allowed) => patternCovers(allowed, filter));
}
