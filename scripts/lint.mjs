// Lint with types (oxlint) over every storey.
import { join, root, run } from "./lib.mjs";
run(join(root, "node_modules/.bin/oxlint"), ["--type-aware", "--deny-warnings", "schemas", "shm", "drivers", "failsafe", "gateway", "deploy", "bench", "examples", "scripts"]);
