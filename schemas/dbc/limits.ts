/** What the DBC reader takes on. A file beyond a limit is refused or cut with a finding that says so; nothing grows without end. */
export const DBC_LIMITS = {
  /** The largest real file we know has 0.8 MB; twenty times that, and parsing takes two to four seconds. */
  fileBytes: 16 * 1024 * 1024,
  /** The 11-bit identifiers eight times over; whole-vehicle files have a few thousand. */
  messages: 16_384,
  /** 64 bytes are 512 one-bit signals; multiplexed battery messages of real files reach some hundreds. */
  signalsPerMessage: 4096,
  /** J1939's longest transport message: 255 packets of 7 bytes. */
  messageBytes: 1785,
  /** Ranges of one signal in SG_MUL_VAL_. */
  multiplexRanges: 1024,
  /** How deep multiplexors may select multiplexors. */
  multiplexDepth: 16,
  /** Beyond this the rest is only counted. */
  findings: 5000,
  /** Pairs of signals compared for overlap per file: about a second at 20 ns a pair. Beyond it lint says that it stopped. */
  overlapPairs: 20_000_000,
  nameChars: 256,
} as const;

/** Templates: nodes × messages, and the nesting of an id expression. */
export const TEMPLATE_LIMITS = { messages: 16_384, expressionChars: 256, depth: 32 } as const;
