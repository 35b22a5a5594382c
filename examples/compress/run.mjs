// node examples/compress/run.mjs [FILE…]
await import("../../scripts/prepare.mjs");
await import("../../dist/ts/examples/compress/run.js");
