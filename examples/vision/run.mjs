// node examples/vision/run.mjs [SECONDS]
await import("../../scripts/prepare.mjs");
await import("../../dist/ts/examples/vision/run.js");
