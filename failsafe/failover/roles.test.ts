import assert from "node:assert/strict";
import { test } from "node:test";
import { nextRole, type Role, roleEvents, roles, roleTable } from "./roles.ts";

test("the table is total, and every role can be reached", () => {
  const reached = new Set<Role>(["looking"]);
  for (let grew = true; grew;) {
    const before = reached.size;
    for (const role of reached) for (const event of roleEvents) reached.add(nextRole(role, event)?.to ?? role);
    grew = reached.size > before;
  }
  assert.deepEqual([...reached].toSorted(), [...roles].toSorted());
  for (const role of roles) assert.deepEqual(Object.keys(roleTable[role]).toSorted(), [...roleEvents].toSorted());
});

test("active is who took the lock or has the proof of the other one's death, and nobody else", () => {
  for (const role of roles) {
    for (const event of roleEvents) {
      const cell = nextRole(role, event);
      if (cell?.to !== "active" || role === "active") continue;
      assert.ok((event === "lockTaken" && cell.do.includes("startCold")) || (event === "twinDead" && cell.do.includes("takeOver")), `${role} × ${event}`);
    }
  }
});

test("every sign of death is followed by the kill, and only proof follows the kill", () => {
  for (const role of ["standby"] as const) for (const event of ["twinLate", "twinGone"] as const) assert.deepEqual(nextRole(role, event), { to: "fencing", do: ["fence"] });
  for (const event of roleEvents) assert.equal(nextRole("fencing", event)?.to, event === "twinDead" ? "active" : undefined);
});

test("from every role there is a way to an end, and an end is for ever", () => {
  const ends = new Set<Role>(["ended"]);
  for (let grew = true; grew;) {
    const before = ends.size;
    for (const role of roles) if (roleEvents.some((event) => ends.has(nextRole(role, event)?.to ?? role))) ends.add(role);
    grew = ends.size > before;
  }
  // handingOver ends by itself: the process exits.
  assert.deepEqual([...ends].toSorted(), [...roles].toSorted());
  for (const event of roleEvents) assert.equal(nextRole("ended", event), undefined);
});

test("two instances, every world that can be reached: never two that are active at once", () => {
  // The world: who lives, who has the lock. An instance is told only what the kernel would tell it.
  interface World {
    role: [Role, Role];
    alive: [boolean, boolean];
    lock: 0 | 1 | undefined;
    /** The process that this one followed is dead, and it has not been told: true even when another one has been started in its place. */
    owed: [boolean, boolean];
  }
  const follows = (role: Role): boolean => role === "joining" || role === "following" || role === "standby" || role === "fencing";
  const seen = new Set<string>();
  const moves = (world: World): World[] => {
    const next: World[] = [];
    const tell = (i: 0 | 1, event: (typeof roleEvents)[number]): void => {
      const cell = world.alive[i] ? nextRole(world.role[i], event) : undefined;
      if (!cell) return;
      const twin = i === 0 ? 1 : 0;
      const effects: readonly string[] = cell.do;
      // Whoever was started meanwhile and has the lock finds that somebody listens at the socket already, and ends; or it goes on, and is looked for.
      if (effects.includes("takeOver") && world.lock === twin) {
        const kept: World = { role: [...world.role], alive: [...world.alive], lock: world.lock, owed: [...world.owed] };
        kept.role[i] = nextRole("active", "lockKept")!.to;
        kept.owed[i] = false;
        next.push(kept);
        return;
      }
      const to: World = { role: [...world.role], alive: [...world.alive], lock: world.lock, owed: [...world.owed] };
      to.role[i] = cell.to;
      if (effects.includes("fence") && !world.owed[i]) {
        to.alive[twin] = false;
        to.owed[i] = true;
      }
      if (event === "twinDead" || cell.to === "looking" || cell.to === "ended") to.owed[i] = false;
      if (effects.includes("takeOver") || effects.includes("startCold")) to.lock = i;
      if (cell.to === "ended") to.alive[i] = false;
      if (!to.alive[i] && follows(to.role[twin])) to.owed[twin] = true;
      if (!to.alive[twin] && to.lock === twin) to.lock = undefined;
      if (!to.alive[i] && to.lock === i) to.lock = undefined;
      next.push(to);
    };
    for (const i of [0, 1] as const) {
      const twin = i === 0 ? 1 : 0;
      if (world.role[i] === "looking") tell(i, world.lock === undefined ? "lockTaken" : "lockHeld");
      if (world.role[i] === "joining") tell(i, world.alive[twin] && world.role[twin] === "active" ? "linked" : "notLinked");
      for (const event of ["inSync", "twinLate", "twinGone", "refused", "switchAsked", "expired", "stopAsked"] as const) tell(i, event);
      if (world.owed[i]) tell(i, "twinDead");
      // Killed, and started again.
      const changed: World = { role: [...world.role], alive: [...world.alive], lock: world.lock, owed: [...world.owed] };
      changed.alive[i] = !world.alive[i];
      if (world.alive[i]) {
        if (world.lock === i) changed.lock = undefined;
        if (follows(world.role[twin])) changed.owed[twin] = true;
      } else {
        changed.role[i] = "looking";
        changed.owed[i] = false;
      }
      next.push(changed);
    }
    return next;
  };
  let front: World[] = [{ role: ["looking", "looking"], alive: [true, true], lock: undefined, owed: [false, false] }];
  while (front.length > 0) {
    const fresh: World[] = [];
    for (const world of front) {
      const key = JSON.stringify(world);
      if (seen.has(key)) continue;
      seen.add(key);
      const active = ([0, 1] as const).filter((i) => world.alive[i] && (world.role[i] === "active" || world.role[i] === "handingOver"));
      assert.ok(active.length <= 1, `two are active: ${key}`);
      fresh.push(...moves(world));
    }
    front = fresh;
  }
  assert.ok(seen.size > 50, `${seen.size} worlds`);
});
