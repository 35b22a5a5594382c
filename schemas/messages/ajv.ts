/** ajv, loaded when the first JSON Schema is met: sixty files that most robots' configurations never need. */
import { createRequire } from "node:module";
import type { Ajv, Options } from "ajv";

const require = createRequire(import.meta.url);
let loaded: { Ajv: new (options?: Options) => Ajv } | undefined;

export function makeAjv(options: Options): Ajv {
  loaded ??= require("ajv") as { Ajv: new (options?: Options) => Ajv };
  return new loaded.Ajv(options);
}
