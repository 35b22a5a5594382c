/**
 * Commands by MQTT: decoded, granted, fresh, then the way of all commands; each is answered on `bridge/response/command` with its id, so that
 * a sender knows what became of it. Who may command is the broker's user, which the broker has authenticated; messages of an external
 * broker carry no user and are judged as the user "".
 */
import type { SendVerdict } from "../../drivers/driver.ts";
import { CommandFreshness, decodeCommand } from "../../drivers/mqtt/command.ts";
import type { MqttMessage, MqttOutgoing } from "../../drivers/mqtt/message.ts";
import type { TopicTree } from "../../drivers/mqtt/topics.ts";
import type { Clock } from "../../schemas/clock.ts";
import type { MqttCommandGrant } from "../../schemas/messages/config.ts";
import { Status, statusText } from "../../schemas/status.ts";
import { topicMatches } from "../../schemas/topics/topicName.ts";
import type { Rejects } from "../observe/rejects.ts";
import type { PublishReply } from "../topics/publisher.ts";

export interface MqttCommandsOptions {
  link: string;
  tree: TopicTree;
  grants: readonly MqttCommandGrant[];
  rejects: Rejects;
  publish(topic: string, values: unknown, ttlMs: number | undefined, origin: string, nowUs: number): PublishReply;
  send(outgoing: MqttOutgoing): SendVerdict;
  clock: Clock;
}

/** An answer that could not leave for so long helps nobody. */
const ANSWER_LIFETIME_MS = 2_000;
export const COMMAND_RESPONSE_SERVICE = "command";

export class MqttCommands {
  readonly #options: MqttCommandsOptions;
  readonly #freshness = new CommandFreshness();

  constructor(options: MqttCommandsOptions) {
    this.#options = options;
  }

  receive(message: MqttMessage, nowUs: number): void {
    const { tree, link, rejects, clock } = this.#options;
    const meaning = tree.meaning(message.topic);
    if (meaning.kind !== "command") return;
    const user = message.sender?.user ?? "";
    const reject = (reason: "crcMismatch" | "malformed" | "notPermitted" | "stale" | "repeated"): void =>
      rejects.counter(link, reason).add(message.payload, 0, message.payload.length, nowUs, () => message.topic);
    const decoded = decodeCommand(tree.commandName(meaning.topic), message);
    if (!decoded.ok) {
      reject(decoded.code === "crcMismatch" || decoded.code === "crcMissing" ? "crcMismatch" : decoded.code === "retained" ? "stale" : "malformed");
      // Without a right CRC even the id may be wrong: an answer to it could go to the wrong one.
      return;
    }
    const { command } = decoded;
    if (!this.#options.grants.some((grant) => grant.user === user && grant.topics.some((filter) => topicMatches(filter, meaning.topic)))) {
      reject("notPermitted");
      this.#answer(command.id, meaning.topic, { status: Status.forbidden, code: "notPermitted", text: `${user === "" ? "a sender without a user name" : `user ${user}`} may not command ${meaning.topic}` }, nowUs);
      return;
    }
    const sender = message.sender ? `${message.sender.clientId}#${message.sender.connection}` : link;
    const fresh = this.#freshness.judge({ sender, topic: meaning.topic, command, nowUs, wallTimeMs: Number(clock.wallTimeNs() / 1_000_000n) });
    if (!fresh.ok) {
      reject(fresh.code === "expired" || fresh.code === "sentInFuture" ? "stale" : "repeated");
      this.#answer(command.id, meaning.topic, { status: fresh.code === "expired" ? Status.gone : Status.conflict, code: fresh.code, text: fresh.text }, nowUs);
      return;
    }
    const reply = this.#options.publish(meaning.topic, command.values, (fresh.deadlineUs - nowUs) / 1e3, `mqtt ${user}`, nowUs);
    this.#answer(command.id, meaning.topic, reply, nowUs);
  }

  #answer(id: string, topic: string, { status, code, text }: PublishReply, nowUs: number): void {
    const answer = { transaction: id, topic, status, statusText: statusText(status), ...(code === undefined ? {} : { code }), ...(text === "" ? {} : { text }) };
    // Lost if the link is full: the sender then learns nothing, which it must be able to live with anyway.
    this.#options.send({ topic: this.#options.tree.response(COMMAND_RESPONSE_SERVICE), payload: Buffer.from(JSON.stringify(answer)), qos: 1, deadlineUs: nowUs + ANSWER_LIFETIME_MS * 1e3, contentType: "application/json" });
  }
}
