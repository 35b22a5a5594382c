/** The completion script for bash. The tables hold the tree; the function walks the words before the cursor through them. */
import { kindWord, quoted, type PlaceModel } from "./model.ts";

export function bashScript(places: readonly PlaceModel[]): string {
  const table = (name: string, rows: readonly string[]): string => `${name}() {\n  case "$*" in\n${rows.join("\n")}\n    *) return 1 ;;\n  esac\n}\n`;
  const print = (words: string): string => `printf '%s\\n' ${quoted(words)}`;
  const verbs = places.filter((place) => place.verbs.length > 0).map((place) => `    ${quoted(place.path)}) ${print(place.verbs.map(({ name }) => name).join(" "))} ;;`);
  const options = places.map((place) => `    ${quoted(place.path)}) ${print(place.options.flatMap(({ names }) => names).join(" "))} ;;`);
  const values = places.flatMap((place) => place.options.flatMap(({ names, value }) => (value === undefined ? [] : [`    ${names.map((name) => quoted(`${place.path}:${name}`)).join("|")}) ${print(kindWord(value))} ;;`])));
  const positions = places.flatMap((place) => place.arguments.map((kind, index) => {
    const repeated = place.variadic && index === place.arguments.length - 1;
    return `    ${quoted(`${place.path}:`)}${repeated ? "*" : quoted(String(index))}) ${print(kindWord(kind))} ;;`;
  }));
  return `# Completion of ipcnet for bash. Use it with: source <(ipcnet completion bash)
# or for good: ipcnet completion bash | sudo tee /usr/share/bash-completion/completions/ipcnet >/dev/null

${table("_ipcnet_verbs", verbs)}
${table("_ipcnet_options", options)}
# What the value of an option is, by "path:option".
${table("_ipcnet_value", values)}
# What the arguments of a verb are, by "path:position".
${table("_ipcnet_argument", positions)}
_ipcnet() {
  local current="\${COMP_WORDS[COMP_CWORD]}" at="" position=0 pending="" kind="" word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    if [[ $word == "=" ]]; then continue; fi
    if [[ -n $pending ]]; then
      pending=""
    elif [[ $word == -* ]]; then
      if _ipcnet_value "$at:$word" >/dev/null; then pending="$word"; fi
    elif [[ $position -eq 0 && " $(_ipcnet_verbs "$at") " == *" $word "* ]]; then
      at="\${at:+$at }$word"
    else
      position=$((position + 1))
    fi
  done
  if [[ $current == "=" ]]; then current=""; fi
  if [[ -n $pending ]]; then
    kind="$(_ipcnet_value "$at:$pending")"
  elif [[ $current == -* ]]; then
    kind="choices $(_ipcnet_options "$at")"
  elif [[ $position -eq 0 ]] && _ipcnet_verbs "$at" >/dev/null; then
    kind="choices $(_ipcnet_verbs "$at")"
  else
    kind="$(_ipcnet_argument "$at:$position")"
  fi
  case "$kind" in
    files)
      compopt -o filenames 2>/dev/null
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -f -- "$current")
      ;;
    topics | buses)
      while IFS= read -r word; do
        if [[ $word == "$current"* ]]; then COMPREPLY+=("$word"); fi
      done < <("\${COMP_WORDS[0]}" __complete "$kind" 2>/dev/null)
      ;;
    choices\\ *)
      while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "\${kind#choices }" -- "$current")
      ;;
  esac
  return 0
}

complete -F _ipcnet ipcnet
`;
}
