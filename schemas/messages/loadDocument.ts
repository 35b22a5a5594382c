/**
 * The text of a YAML document and its schema in, its value or all its faults out. Pure: reads no file, knows no machine. What needs several keys or
 * files is the next step's (`checkConfig`, `checkPolicy`).
 */
import { pathText, sortFaults } from "./fault.ts";
import type { Fault, Path } from "./fault.ts";
import { readTree } from "./readTree.ts";
import type { Place } from "./readTree.ts";
import type { RootSchema } from "./schema.ts";
import { readYaml } from "./yamlTree.ts";
import type { Span } from "./yamlTree.ts";

/** More than this many faults help nobody. */
const faultsMax = 200;

/** Where something stands; line and column count from 1. */
export interface Location {
  line: number;
  column: number;
  lengthChars: number;
}

export interface LoadedDocument {
  file: string;
  /** With all defaults; undefined when there is any fault. */
  value: unknown;
  /** Sorted by place. */
  faults: Fault[];
  /** What could be saved of a faulty file, for checks that go on with it: list items beyond saving are missing. Undefined when nothing could be read. */
  salvage: unknown;
  /** Whether something at that path (buses, mqtt.broker …) was dropped from `salvage`: what is not found there may have been meant. */
  isIncomplete(path: string): boolean;
  /** The items of a list of the value or `salvage` with their paths in the file. */
  items<T>(list: readonly T[], path: Path): [item: T, path: Path][];
  /** Where a path stands in the file: its key or its value; what was filled in by default stands where its parent does. */
  locate(path: Path, part?: "key" | "value"): Location;
}

/** `file` is only for the messages. Never throws, whatever the text. */
export function loadDocument(text: string, { file, schema }: { file: string; schema: RootSchema }): LoadedDocument {
  const source = text.startsWith("\ufeff") ? text.slice(1) : text;
  const locationOf = locator(source);
  const { tree, faults: syntax } = readYaml(source);
  const read = tree && readTree(tree, schema);
  const found = [...syntax.map((fault) => ({ ...fault, path: [] as Path })), ...(read?.faults ?? [])];
  const faults = sortFaults(
    found.map(({ code, at, path, message, expected, hint }): Fault => ({ code, severity: "error", file, ...locationOf(at), path: pathText(path), message, expected, hint })),
    file,
  ).slice(0, faultsMax);
  const places: ReadonlyMap<string, Place> = read?.salvage.places ?? new Map<string, Place>();
  return {
    file,
    value: found.length === 0 && read?.salvage.whole === true ? read.salvage.value : undefined,
    faults,
    salvage: read?.salvage.value,
    isIncomplete: (path) => read?.salvage.incomplete.has(path) ?? true,
    items: (list, path) => list.map((item, index) => [item, [...path, read?.salvage.indices.get(list)?.[index] ?? index]]),
    locate(path, part = "value") {
      for (let depth = path.length; depth >= 0; depth--) {
        const place = places.get(pathText(path.slice(0, depth)));
        if (!place) continue;
        const wholeValue = depth === path.length && part === "value";
        const at = wholeValue ? place.value : (place.key ?? place.value);
        return locationOf(at);
      }
      return { line: 1, column: 1, lengthChars: 1 };
    },
  };
}

/** Offsets to lines and columns; a span over several lines is cut at the end of its first. */
function locator(text: string): (at: Span) => Location {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return ({ from, to }) => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle]! <= from) low = middle;
      else high = middle - 1;
    }
    const lineEnd = starts[low + 1] === undefined ? text.length : starts[low + 1]! - 1;
    return { line: low + 1, column: from - starts[low]! + 1, lengthChars: Math.max(1, Math.min(to, lineEnd) - from) };
  };
}
