/** The completion script for fish. */
import type { PlaceModel, ValueKind } from "./model.ts";

export function fishScript(places: readonly PlaceModel[]): string {
  const verbRows = places.filter((place) => place.verbs.length > 0).map((place) => `        case ${quoted(place.path)}\n            string join \\n ${place.verbs.map(({ name }) => name).join(" ")}`);
  const valued = places.flatMap((place) => place.options.filter(({ value }) => value !== undefined).flatMap(({ names }) => names.map((name) => quoted(`${place.path}:${name}`))));
  const lines = places.flatMap((place) => {
    const here = `-n ${quoted(`__ipcnet_at ${quoted(place.path)}`)}`;
    return [
      ...place.verbs.map(({ name, description }) => `complete -c ipcnet ${here} -a ${name} -d ${quoted(description)}`),
      ...place.options.map(({ names, description, value }) => `complete -c ipcnet ${here} ${names.map((name) => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)).join(" ")}${valueWords(value)} -d ${quoted(description)}`),
      ...place.arguments.map((kind, index) => {
        const repeated = place.variadic && index === place.arguments.length - 1;
        const condition = `-n ${quoted(`__ipcnet_at ${quoted(place.path)} ${index}${repeated ? " more" : ""}`)}`;
        return kind === "files" ? `complete -c ipcnet ${condition} -F` : kind === "none" ? "" : `complete -c ipcnet ${condition} -a ${candidates(kind)}`;
      }).filter((line) => line !== ""),
    ];
  });
  return `# Completion of ipcnet for fish. For good: ipcnet completion fish > ~/.config/fish/completions/ipcnet.fish

function __ipcnet_verbs
    switch "$argv"
${verbRows.join("\n")}
    end
end

function __ipcnet_takes_value
    contains -- "$argv" ${valued.join(" ")}
end

# Whether the cursor is at this place of the tree; with a number, at this argument of it (or, with "more", at a later one).
function __ipcnet_at
    set -l at ""
    set -l position 0
    set -l pending 0
    for word in (commandline -opc)[2..-1]
        if test $pending -eq 1
            set pending 0
        else if string match -q -- '-*' $word
            if __ipcnet_takes_value "$at:$word"
                set pending 1
            end
        else if test $position -eq 0; and contains -- $word (__ipcnet_verbs "$at")
            set at (string trim "$at $word")
        else
            set position (math $position + 1)
        end
    end
    test "$at" = "$argv[1]"; or return 1
    test (count $argv) -eq 1; and return 0
    test $position -eq $argv[2]; and return 0
    test "$argv[3]" = more; and test $position -gt $argv[2]
end

function __ipcnet_ask
    set -l words (commandline -opc)
    $words[1] __complete $argv 2>/dev/null
end

complete -c ipcnet -f
${lines.join("\n")}
`;
}

function valueWords(kind: ValueKind | undefined): string {
  if (kind === undefined) return "";
  if (kind === "files") return " -r -F";
  return kind === "none" ? " -x" : ` -x -a ${candidates(kind)}`;
}

function candidates(kind: Exclude<ValueKind, "files" | "none">): string {
  return kind === "topics" || kind === "buses" ? quoted(`(__ipcnet_ask ${kind})`) : quoted(kind.join(" "));
}

/** In fish only the backslash and the quote are special between single quotes. */
function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
