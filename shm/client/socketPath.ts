/** Where the gateway's socket is, when nobody says. Pure: environment and file system are handed in. */
export interface PathSources {
  env: Readonly<Record<string, string | undefined>>;
  exists: (path: string) => boolean;
}

/** $IPCNET_SOCKET if set; else the first that exists of /run/ipcnet/ipcnet.sock and $XDG_RUNTIME_DIR/ipcnet/ipcnet.sock; else the first of them. */
export function defaultSocketPath({ env, exists }: PathSources): string {
  if (env["IPCNET_SOCKET"]) return env["IPCNET_SOCKET"];
  const places = ["/run/ipcnet/ipcnet.sock"];
  if (env["XDG_RUNTIME_DIR"]) places.push(`${env["XDG_RUNTIME_DIR"]}/ipcnet/ipcnet.sock`);
  return places.find(exists) ?? places[0]!;
}
