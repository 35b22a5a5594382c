/** What the reflex has room for (failsafe/reflex/core/reflex_table.h); its rows are shared by all plans of a file. */
export const planLimits = {
  /** A fallback that two steps share counts twice. */
  steps: 256,
  needs: 1024,
  /** Frames of steps and last rungs. */
  sends: 1024,
  /** Of steps and triggers. */
  conditions: 1024,
} as const;
