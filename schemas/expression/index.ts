export { compileExpression } from "./compile.ts";
export type { CompiledExpression, CompileResult, FieldReader, FieldType } from "./compile.ts";
export { expressionLimits } from "./tokens.ts";
export type { ExpressionFault } from "./tokens.ts";
