// The live view: draws the newest snapshot, at most once a frame.

import { announce, byId, setAttribute, setText } from "./dom.js";
import { Find } from "./find.js";
import { drawServers } from "./servers.js";
import { drawMigrations } from "./migrations.js";
import { makeLegend } from "./grid.js";
import { Log } from "./log.js";

const PHASES = { connecting: "connecting …", live: "live", reconnecting: "no connection, trying again …" };

const SPOKEN = ["requested", "handover", "resumed", "completed", "returned", "lost"];

export class Live {
  constructor(connection, actions) {
    Object.assign(this, { connection, actions, due: false });
    byId("legend").append(makeLegend());
    this.log = new Log(byId("log"));
    this.find = new Find(connection);
    connection.addEventListener("snapshot", () => this.draw());
    connection.addEventListener("phase", ({ detail }) => this.showPhase(detail));
    connection.addEventListener("recent", () => this.log.show(connection.entries));
    connection.addEventListener("log", ({ detail }) => {
      this.log.add(connection.entries, detail);
      const news = detail.findLast(({ event }) => event && SPOKEN.includes(event.event));
      if (news) announce(`${news.vm}: ${news.event.event.replaceAll("_", " ")}`);
    });
    // Charts are drawn for the width that they have.
    new ResizeObserver(() => this.draw()).observe(byId("migrations"));
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
      this.find.draw(snapshot);
      drawServers(byId("servers"), snapshot, this.connection.shown, this.actions);
      drawMigrations(byId("migrations"), snapshot, this.actions);
      setAttribute(byId("no-servers"), "hidden", snapshot.servers.length > 0);
      setAttribute(byId("no-migrations"), "hidden", snapshot.migrations.length > 0);
      setText(byId("results-at"), snapshot.results ?? "");
    });
  }
}
