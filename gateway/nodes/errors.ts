/**
 * What nodes say of their errors by EMCY (CiA 301), pure: which are there now, and what of it is news. A code stays until the node says that it is over (code 0: with an empty error register all of them, else the one
 * that the node kit names in the message), or starts anew.
 */
import { emcyText, errorRegisterWords, type Emcy } from "../../drivers/nodekit/canopen.ts";

export interface NodeError {
  code: number;
  text: string;
  sinceUs: number;
  count: number;
}

export type ErrorNews = { type: "error"; code: number; text: string; register: number } | { type: "over"; codes: number[]; register: number };

/** As long as a node's own list (object 0x1003) is in practice; beyond it the oldest is forgotten. */
const CODES_MAX = 16;

export class NodeErrors {
  readonly #codes = new Map<number, NodeError>();
  #register = 0;

  hear({ code, errorRegister, info }: Pick<Emcy, "code" | "errorRegister" | "info">, nowUs: number): ErrorNews | undefined {
    this.#register = errorRegister;
    if (code >> 8 === 0) return this.#over(info[0]! | (info[1]! << 8));
    const before = this.#codes.get(code);
    if (before) {
      before.count += 1;
      return undefined;
    }
    if (this.#codes.size >= CODES_MAX) this.#codes.delete(this.#codes.keys().next().value!);
    const text = emcyText(code);
    this.#codes.set(code, { code, text, sinceUs: nowUs, count: 1 });
    return { type: "error", code, text, register: errorRegister };
  }

  /** It has started anew, and has told nothing since. */
  clear(): void {
    this.#codes.clear();
    this.#register = 0;
  }

  get codes(): readonly NodeError[] {
    return [...this.#codes.values()];
  }

  /** Of object 0x1001, in words. */
  get register(): readonly string[] {
    return errorRegisterWords(this.#register);
  }

  #over(code: number): ErrorNews | undefined {
    const codes = this.#register === 0 ? [...this.#codes.keys()] : this.#codes.has(code) ? [code] : [];
    for (const each of codes) this.#codes.delete(each);
    return codes.length === 0 ? undefined : { type: "over", codes, register: this.#register };
  }
}
