/** Looks at what comes from a link before it is handled (links/linkGuard.ts). Cheap: a bus has ten thousand frames a second. */
export interface MessageWatch {
  /** This one is handled from now on, instead of the one before. `key` says which message of the link it is. False: it is kept out, and must not be looked at. */
  begins(key: number, bytes: Uint8Array, at: number, lengthBytes: number): boolean;
  /** The last of a run has been handled. */
  ends(): void;
}
