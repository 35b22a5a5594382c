/** What the coordinator needs of a link to the outside, whatever its kind. */
import type { DriverEvent } from "../../drivers/driver.ts";
import type { LinkReport } from "../../schemas/messages/statusReport.ts";
import type { CommandPath } from "../commands/commandPath.ts";

export interface Link {
  readonly name: string;
  /** The way of commands over this link, if it has any. */
  readonly path: CommandPath | undefined;
  start(): Promise<void>;
  /** It belongs to a process of its own, which goes on when this gateway dies. Absent: it does not. */
  readonly survives?: boolean;
  /** Another instance has this link: what can be heard beside it is kept until `start`. Absent where nothing can. */
  follow?(): void;
  /** That instance is dead, and the topics have what it handed out last: `start` comes next. */
  goOn?(): void;
  stop(): Promise<void>;
  /** One sentence for each thing without which commands must not pass here. Empty for links without commands. */
  missing(): string[];
  /** It was dead and has proved alive: `rearm` opens it for commands, which is for whoever arms to decide. Not among `missing`. */
  readonly awaitsRearm: boolean;
  /** Serves what is due: held commands, held mirror messages. */
  poll(nowUs: number): void;
  nextDeadlineUs(nowUs: number): number | undefined;
  /** Closes a counting interval of `seconds`. */
  closeInterval(seconds: number, nowUs: number): void;
  /** An operator arms: links that were dead may be used again if they have proved alive. */
  rearm(): void;
  report(nowUs: number): LinkReport;
}

/** What links report to the coordinator. */
export interface LinkPorts {
  event(link: Link, event: DriverEvent): void;
  /** Somebody else sends what only we may send. */
  secondMaster(link: Link, message: string): void;
}
