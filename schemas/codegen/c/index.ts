/** C from a DBC: see README.md. */
export { generateC, type COptions, type GeneratedC } from "./generate.ts";
export type { Arithmetic, CMessage, CSignal, Conversion } from "./model.ts";
