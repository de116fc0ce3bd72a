// The live view: draws the newest snapshot, at most once a frame.

import { announce, byId, setAttribute, setText } from "./dom.js";
import { drawServers } from "./servers.js";
import { drawMigrations } from "./migrations.js";
import { makeLegend } from "./grid.js";
import { Log } from "./log.js";

const PHASES = { connecting: "connecting …", live: "live", reconnecting: "no connection, trying again …" };

// Open faults by guest, from the log. Pure but for the map it keeps.
export function followStalls(stalls, entries) {
  for (const { event, vm } of entries) {
    if (!event) continue;
    if (event.event === "fault_began") stalls.set(vm, { page: event.page, since: event.at_ns });
    if (["fault_ended", "ended", "returned", "lost", "requested"].includes(event.event)) stalls.delete(vm);
  }
  return stalls;
}

const SPOKEN = ["requested", "handover", "resumed", "completed", "returned", "lost"];

export class Live {
  constructor(connection, actions) {
    Object.assign(this, { connection, actions, stalls: new Map(), due: false });
    byId("legend").append(makeLegend());
    this.log = new Log(byId("log"));
    connection.addEventListener("snapshot", () => this.draw());
    connection.addEventListener("phase", ({ detail }) => this.showPhase(detail));
    connection.addEventListener("recent", () => this.log.show(connection.entries));
    connection.addEventListener("log", ({ detail }) => {
      followStalls(this.stalls, detail);
      this.log.add(connection.entries, detail);
      const news = detail.findLast(({ event }) => event && SPOKEN.includes(event.event));
      if (news) announce(`${news.vm}: ${news.event.event.replaceAll("_", " ")}`);
      this.draw();
    });
    this.showPhase(connection.phase);
  }

  showPhase(phase) {
    const pill = byId("connection");
    setText(pill, PHASES[phase]);
    setAttribute(pill, "data-phase", phase);
    setAttribute(document.body, "data-stale", phase === "reconnecting");
  }

  draw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      const { snapshot } = this.connection;
      if (!snapshot) return;
      drawServers(byId("servers"), snapshot, this.stalls, this.actions);
      drawMigrations(byId("migrations"), snapshot, this.stalls, this.actions);
      setAttribute(byId("no-servers"), "hidden", snapshot.servers.length > 0);
      setAttribute(byId("no-migrations"), "hidden", snapshot.migrations.length > 0);
      setText(byId("results-at"), snapshot.results ?? "");
    });
  }
}
