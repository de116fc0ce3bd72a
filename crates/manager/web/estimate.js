// How far a migration is and how long it will take, as it is shown: neither goes back. Pure.

export const ESTIMATE_NOTE = "Time left: the bytes still expected, divided by the recent rate, in model time. Where the estimate grows, what was said stands until it is true again; the bar never runs backwards.";

// Migrations that are kept in mind.
const MOST = 200;

export class Estimates {
  constructor() {
    this.known = new Map();
  }

  // What to show of a migration's snapshot: { progress: 0..1, left_ns or null }.
  of(migration) {
    const ended = migration.phase === "ended";
    // A manager that was started anew may begin its numbers anew.
    const key = `${migration.id} ${migration.started_unix_ms}`;
    const before = this.known.get(key) ?? { progress: 0, left_ns: null };
    const said = Math.min(1, Math.max(0, migration.progress ?? 0));
    const progress = ended && migration.outcome === "completed" ? 1 : Math.max(before.progress, said);
    let left_ns = migration.left_ns ?? before.left_ns;
    if (before.left_ns != null && left_ns != null) left_ns = Math.min(before.left_ns, left_ns);
    if (ended || progress >= 1) left_ns = 0;
    const shown = { progress, left_ns };
    this.known.set(key, shown);
    if (this.known.size > MOST) this.known.delete(this.known.keys().next().value);
    return shown;
  }
}
