/** Where the gateway's socket is, when nobody says. Pure: environment and file system are handed in. The C client (shm/core/client/client.c) looks in the same places. */
export interface PathSources {
  env: Readonly<Record<string, string | undefined>>;
  uid: number;
  exists: (path: string) => boolean;
  /** Whether it is a folder, no link, of this user: in /tmp anybody may have been there first. */
  isOwnFolder: (path: string) => boolean;
}

const SYSTEM_FOLDER = "/run/ipcnet";

/** Where a gateway that this user starts keeps its socket: /run/ipcnet as root, else $XDG_RUNTIME_DIR/ipcnet, else /tmp/ipcnet-UID. */
export function ownRunFolder({ env, uid }: Pick<PathSources, "env" | "uid">): string {
  return uid === 0 ? SYSTEM_FOLDER : userFolder({ env, uid });
}

function userFolder({ env, uid }: Pick<PathSources, "env" | "uid">): string {
  return env["XDG_RUNTIME_DIR"] ? `${env["XDG_RUNTIME_DIR"]}/ipcnet` : `/tmp/ipcnet-${uid}`;
}

/**
 * $IPCNET_SOCKET if set; else the first that exists of /run/ipcnet/ipcnet.sock and $XDG_RUNTIME_DIR/ipcnet/ipcnet.sock (without that variable /tmp/ipcnet-UID/ipcnet.sock, if the folder is
 * the user's own); else the first of them.
 */
export function defaultSocketPath(sources: PathSources): string {
  const { env, exists, isOwnFolder } = sources;
  if (env["IPCNET_SOCKET"]) return env["IPCNET_SOCKET"];
  const folder = userFolder(sources);
  const places = [SYSTEM_FOLDER, ...(env["XDG_RUNTIME_DIR"] || isOwnFolder(folder) ? [folder] : [])].map((place) => `${place}/ipcnet.sock`);
  return places.find(exists) ?? places[0]!;
}
