/** The completion script for zsh: the same walk as in bash, with descriptions in the menu. */
import { kindWord, quoted, type PlaceModel } from "./model.ts";

export function zshScript(places: readonly PlaceModel[]): string {
  const described = (name: string, description: string): string => quoted(`${name.replaceAll(":", "\\:")}:${description}`);
  const verbs = places.filter((place) => place.verbs.length > 0).map((place) => `    (${quoted(place.path)}) reply=(${place.verbs.map(({ name, description }) => described(name, description)).join(" ")}) ;;`);
  const options = places.map((place) => `    (${quoted(place.path)}) reply=(${place.options.flatMap(({ names, description }) => names.map((name) => described(name, description))).join(" ")}) ;;`);
  const values = places.flatMap((place) => place.options.flatMap(({ names, value }) => (value === undefined ? [] : [`    (${names.map((name) => quoted(`${place.path}:${name}`)).join("|")}) REPLY=${quoted(kindWord(value))} ;;`])));
  const positions = places.flatMap((place) => place.arguments.map((kind, index) => {
    const repeated = place.variadic && index === place.arguments.length - 1;
    return `    (${quoted(`${place.path}:`)}${repeated ? "*" : quoted(String(index))}) REPLY=${quoted(kindWord(kind))} ;;`;
  }));
  const table = (name: string, empty: string, rows: readonly string[]): string => `${name}() {\n  ${empty}\n  case "$1" in\n${rows.join("\n")}\n    (*) return 1 ;;\n  esac\n}\n`;
  return `#compdef ipcnet
# Completion of ipcnet for zsh. For good: ipcnet completion zsh | sudo tee /usr/local/share/zsh/site-functions/_ipcnet >/dev/null

${table("_ipcnet_verbs", "reply=()", verbs)}
${table("_ipcnet_options", "reply=()", options)}
${table("_ipcnet_value", "REPLY=", values)}
${table("_ipcnet_argument", "REPLY=", positions)}
_ipcnet() {
  emulate -L zsh
  local current="\${words[CURRENT]}" at="" pending="" word REPLY
  local -i position=0 i
  local -a reply names
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    if [[ -n $pending ]]; then
      pending=""
    elif [[ $word == -*=* ]]; then
      continue
    elif [[ $word == -* ]]; then
      if _ipcnet_value "$at:$word"; then pending="$word"; fi
    elif (( position == 0 )) && _ipcnet_verbs "$at" && (( \${reply[(I)$word:*]} )); then
      at="\${at:+$at }$word"
    else
      (( position += 1 ))
    fi
  done
  if [[ -n $pending ]]; then
    _ipcnet_value "$at:$pending"
  elif [[ $current == -* ]]; then
    _ipcnet_options "$at" && _describe -o option reply
    return
  elif (( position == 0 )) && _ipcnet_verbs "$at"; then
    _describe verb reply
    return
  else
    _ipcnet_argument "$at:$position"
  fi
  case "$REPLY" in
    (files) _files ;;
    (topics|buses)
      names=("\${(@f)$("\${words[1]}" __complete "$REPLY" 2>/dev/null)}")
      compadd -- "\${(@)names:#}"
      ;;
    (choices\\ *) compadd -- "\${(@s: :)\${REPLY#choices }}" ;;
  esac
}

if [[ "\${funcstack[1]}" == _ipcnet ]]; then
  _ipcnet "$@"
else
  compdef _ipcnet ipcnet
fi
`;
}
