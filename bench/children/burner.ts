/** Keeps a processor busy until its standard input closes: `burner.js compute` calculates, `burner.js memory` walks through fresh memory and gives it back, as much as 64 MiB at a time. */
const [kind = "compute"] = process.argv.slice(2);
const CHUNK_BYTES = 64 << 20;
const LINE_BYTES = 64;
let value = 1;

function compute(): void {
  for (let i = 0; i < 10_000_000; i++) value = (Math.imul(value, 1_664_525) + 1_013_904_223) | 0;
}

function walk(): void {
  const memory = new Uint8Array(CHUNK_BYTES);
  for (let at = 0; at < memory.length; at += LINE_BYTES) memory[at] = at;
}

// Between two rounds it hears whether it is still wanted.
const round = (): void => {
  (kind === "memory" ? walk : compute)();
  setImmediate(round);
};
process.stdin.on("end", () => process.exit(0)).on("error", () => process.exit(0)).resume();
round();
