/** How something that a program holds (a subscription, an offer, a topic's lane) ends: in good order, or with an error that ends a program which looks nowhere. */
import type { IpcnetError } from "../../schemas/status.ts";

export interface End {
  readonly promise: Promise<void>;
  resolve(): void;
  /** Unhandled it ends the program, unless `told`: whoever looks elsewhere has been told there. */
  reject(why: IpcnetError, told: boolean): void;
}

export function anEnd(): End {
  let settle: { resolve: () => void; reject: (error: IpcnetError) => void } | undefined;
  const promise = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  let settled = false;
  return {
    promise,
    resolve() {
      settled = true;
      settle!.resolve();
    },
    reject(why, told) {
      // Who ended it first has said how.
      if (settled) return;
      settled = true;
      if (told) promise.catch(() => {});
      settle!.reject(why);
    },
  };
}
