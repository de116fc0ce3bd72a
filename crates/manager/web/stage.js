// Both hosts of a run at one instant: their memories, the link between them, the contexts' positions.

import { drawTrack, makeTrack } from "./charts.js";
import { h, setAttribute, setText } from "./dom.js";
import { drawGrid, makeGrid } from "./grid.js";
import { view } from "./memory.js";
import { positionsAt, stallAt } from "./history.js";
import { count, duration, plural } from "./format.js";
import { CAUSES, LANES } from "./words.js";

const SOURCE = { running: "runs here", suspended: "suspended", forward: "forward context", gone: "freed" };

function titled(server, role) {
  return server === role ? `The ${role}` : `${server}, the ${role}`;
}

function host() {
  const name = h("h3", {});
  const chip = h("span", { class: "chip" });
  const grid = makeGrid();
  const element = h("section", { class: "host" }, h("header", {}, name, chip), grid);
  return Object.assign(element, { name, chip, grid });
}

export class Stage {
  constructor({ withSource = true } = {}) {
    this.withSource = withSource;
    this.source = host();
    this.destination = host();
    this.wire = h("ul", { class: "wire", "aria-label": "Pages on the link" });
    this.track = makeTrack();
    this.counts = h("p", { class: "faint small tabular" });
    this.stall = h("p", { class: "stall-line" });
    const hosts = withSource ? h("div", { class: "hosts" }, this.source, h("div", { class: "between" }, h("span", { class: "faint small", text: "on the link" }), this.wire), this.destination)
      : h("div", { class: "hosts single" }, this.destination);
    this.element = h("div", { class: "stage" }, hosts, this.stall, this.track, this.counts);
  }

  show(player) {
    this.player = player;
    this.drawn = -1;
    const { run } = player;
    setText(this.source.name, titled(run.source, "source"));
    setText(this.destination.name, this.withSource ? titled(run.destination, "destination") : `${run.scheme}, at the destination`);
    for (const place of [this.source, this.destination]) place.grid.firstElementChild.knownCauses = null;
  }

  // Where the reader leaps, or goes back, nothing is news.
  draw(at) {
    const { run } = this.player;
    const still = at < this.drawn || at - this.drawn > run.focus / 20;
    this.drawn = at;
    const state = this.player.seekTime(at);
    const { fault } = state;
    setText(this.source.chip, SOURCE[state.source.guest]);
    setAttribute(this.source.chip, "data-phase", state.source.guest === "forward" ? "source" : state.source.guest);
    const destination = fault ? `waits for Page${fault.page}` : { none: state.destination.staged.size ? "pages come ahead" : "empty", waiting: "has the context, waits", running: "runs here" }[state.destination.guest];
    setText(this.destination.chip, destination);
    setAttribute(this.destination.chip, "data-phase", fault ? "stalled" : state.destination.guest === "running" ? "destination" : "created");
    setAttribute(this.destination, "class", `host${fault ? " stalled" : ""}`);
    drawGrid(this.source.grid, view(state.source.memory, run.pages), { name: "Memory of the source", kind: "source", still });
    const staged = state.destination.staged.size ? { kind: "cells", frames: run.frames, cells: [...state.destination.staged.values()].slice(0, run.frames) } : null;
    drawGrid(this.destination.grid, staged && run.frames <= 1024 ? staged : view(state.destination.memory, run.pages), { name: "Memory of the destination", kind: "destination", blocked: fault?.page, still });
    this.wire.replaceChildren(...[...state.on_link].slice(-6).map(([page, cause]) => h("li", { title: CAUSES[cause].long },
      h("i", { class: "cell", "data-cause": cause, "data-long": page > 999 }, h("b", { text: page }), h("em", { text: CAUSES[cause].letter })))));
    const { following, forward } = positionsAt(run, at);
    drawTrack(this.track, following, forward, { blocked: Boolean(fault) });
    const arrived = LANES.filter((lane) => state.arrived[lane]).map((lane) => `${count(state.arrived[lane])} ${CAUSES[lane].name}`);
    const faults = plural(state.faults.remote + state.faults.disk + (fault ? 1 : 0), "page fault");
    setText(this.counts, `Arrived: ${arrived.join(", ") || "no page yet"}. ${faults}, stall ${duration(stallAt(run, at))}.`);
    setText(this.stall, fault ? `The guest waits: page fault on Page${fault.page}${at > fault.since ? `, for ${duration(at - fault.since)}` : ""}` : "");
    return state;
  }
}
