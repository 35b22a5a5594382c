/** Identities that answers are remembered for: a robot has dozens; a user cannot make more than its groups and components allow. */
export const PROFILES_MAX = 1_024;
/** Answers remembered, over all identities: at ≈ 200 bytes each (the name may be the asker's invention, up to 255 bytes), 7 MB. Beyond, all are forgotten. */
export const ANSWERS_MAX = 32_768;
/** Names of principals that clients have asked about and whose answer is remembered: a lookup reads /etc/passwd or /etc/group. */
export const PRINCIPALS_MAX = 1_024;
/** Nothing is read again before the file has rested for so long, ms: an editor writes in several steps. */
export const POLICY_REST_MS = 100;
/** Rules told by an explanation that nearly matched. */
export const NEARLY_MAX = 8;
