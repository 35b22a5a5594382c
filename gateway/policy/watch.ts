/** Tells when a file may have changed, once it has rested: whether it was written in place or replaced by rename. Reads nothing itself. */
import { realpathSync, watch, type FSWatcher } from "node:fs";
import { basename, dirname } from "node:path";
import type { Clock } from "../../schemas/clock.ts";
import { POLICY_REST_MS } from "./limits.ts";

export interface FileWatch {
  close(): void;
}

/**
 * `changed` is called at most once per rest, also for changes that turn out to be none. What is watched is the folder, because a rename gives the name to
 * another file; behind a symbolic link the folder of the real file, too. `failed` is called when the kernel refuses or ends the watch; it does not come back by itself.
 */
export function watchFile(file: string, { clock, changed, failed }: { clock: Clock; changed: () => void; failed: (why: string) => void }): FileWatch {
  const watchers: FSWatcher[] = [];
  let cancel: (() => void) | undefined;
  let open = true;
  const stir = (): void => {
    cancel?.();
    cancel = clock.at(clock.nowUs() + POLICY_REST_MS * 1e3, () => {
      cancel = undefined;
      if (open) changed();
    });
  };
  const end = (why: string): void => {
    if (open) failed(why);
  };
  for (const path of new Set([file, realPath(file)])) {
    try {
      const watcher = watch(dirname(path), { persistent: false }, (_type, name) => {
        if (name === null || name === basename(path)) stir();
      });
      watcher.on("error", (error) => end(error.message));
      watchers.push(watcher);
    } catch (error) {
      end((error as Error).message);
    }
  }
  return {
    close() {
      open = false;
      cancel?.();
      for (const watcher of watchers) watcher.close();
    },
  };
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    // Away for the moment: its folder is watched all the same.
    return file;
  }
}
