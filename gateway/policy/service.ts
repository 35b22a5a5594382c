/** The service gateway/policy: explains decisions of the policy in force, and shows its rules. Input is checked; nothing changes. */
import { Status } from "../../schemas/status.ts";
import { readFacts, type ProcessSource } from "../identity/process.ts";
import type { ServiceReply } from "../front/services.ts";
import type { Engine } from "./engine.ts";
import { explain } from "./explain.ts";
import { parseQuestion, subjectOf } from "./question.ts";

/** Body: {who, verb, what, mode?} for an explanation, {} for the rules. */
export function policyService(body: Readonly<Record<string, unknown>>, engine: Engine, source: ProcessSource): ServiceReply {
  const { who, verb, what, mode } = body;
  if (who === undefined && verb === undefined && what === undefined) return { status: Status.ok, body: { rules: engine.rules } };
  const question = parseQuestion({ verb, what, mode });
  if (typeof who !== "string" || typeof question === "string") return { status: Status.badRequest, text: typeof question === "string" ? question : "who is a text" };
  const subject = subjectOf(who, engine, (pid) => readFacts(pid, source));
  if (typeof subject === "string") return { status: Status.notFound, text: subject };
  return { status: Status.ok, body: { who: subject.described, ...question, answers: question.actions.map((action) => ({ action, ...explain(engine, subject.subject, action, question.name) })) } };
}
