/** DBC files: read, judge, multiply for several nodes, and compile to codecs. See README.md. */
export { compileMessage, type CodecOptions, type DecodeResult, type EncodeResult, type MessageCodec, type SignalValue } from "./codec.ts";
export { DecodeFault, EncodeFault, faultName, type DecodeFaultName, type EncodeFaultName } from "./faults.ts";
export { loadDbcFile } from "./file.ts";
export { findingCatalogue, formatFinding, type FindingCode } from "./findings.ts";
export { isLintClean, lintDatabase, lintErrors } from "./lint.ts";
export { indexMessages, matches, pgnOf, type MessageIndex } from "./lookup.ts";
export * from "./model.ts";
export { parseDbc } from "./parse.ts";
export { applyTemplate, type Template } from "./templates.ts";
