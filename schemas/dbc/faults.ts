/** What can be wrong with a frame or with values to send. Codes are stable: names go on the wire and into counters, numbers come from the hot paths. */

/** Results of `decodeInto`; 0 is success. */
export const DecodeFault = {
  ok: 0,
  /** Shorter or longer than the message. */
  badLength: 1,
  /** A multiplexor has a value for which nothing is declared. */
  unknownMultiplexer: 2,
  /** Outside of the declared range (and not a named value). */
  outOfRange: 3,
  /** A float that is NaN or infinite. */
  notANumber: 4,
} as const;

/** Results of `encodeInto`; 0 is success. */
export const EncodeFault = {
  ok: 0,
  unknownMultiplexer: 2,
  outOfRange: 3,
  notANumber: 4,
  /** A signal that the multiplexors ask for is absent from the record. */
  missingSignal: 5,
  /** A signal is in the record that the multiplexors exclude. */
  inactiveSignal: 6,
  /** Two signals share bits and disagree. */
  signalsOverlap: 7,
} as const;

export type DecodeFaultName = Exclude<keyof typeof DecodeFault, "ok">;
export type EncodeFaultName = Exclude<keyof typeof EncodeFault, "ok"> | "unknownSignal" | "unknownValueName" | "notRepresentable";

const names = new Map<number, string>(Object.entries({ ...DecodeFault, ...EncodeFault }).map(([name, code]) => [code, name]));

/** The stable name of a code that `decodeInto` or `encodeInto` returned. */
export function faultName(code: number): string {
  return names.get(code) ?? `fault${code}`;
}
