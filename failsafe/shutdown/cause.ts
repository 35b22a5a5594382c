/** Which trigger began a pose, and who or what was behind it. */
export interface PoseCause {
  /** The trigger's name: its kind, and what it was about ("nodeLost elbow", "request parkedThenOff"). */
  trigger: string;
  /** Who or what, in words. */
  why: string;
  atUs: number;
  /** Arming needs a reset, also should the pose itself not ask for one. */
  latched: boolean;
}
