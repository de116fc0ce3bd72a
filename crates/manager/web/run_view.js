// One finished run, played back: its clock, its timeline, both hosts, charts and events.

import { drawChart, makeChart } from "./charts.js";
import { h } from "./dom.js";
import { makeLegend } from "./grid.js";
import { bytes, count, duration, percent, rate } from "./format.js";
import { linkUse, missRatio } from "./history.js";
import { makeLine } from "./log.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";
import { FINE_BELOW, Transport } from "./transport.js";
import { describe } from "./words.js";

// Lines about the present one in the list of events.
const AROUND = 60;

export const METRICS = [
  ["total_migration_time_ns", "total migration time", duration, -1],
  ["downtime_ns", "downtime", duration, -1],
  ["stall_time_ns", "stall time", duration, -1],
  ["measured_time_ns", "measured time", duration, -1],
  ["faults", "page faults", count, -1],
  ["faults_remote", "  ended by the source", count, -1],
  ["faults_disk", "  ended by the disk", count, -1],
  ["pages_transferred", "pages transferred", count, -1],
  ["pages_background", "  in the background", count, 0],
  ["pages_forward", "  for the forward context", count, 0],
  ["pages_demand", "  on demand", count, 0],
  ["bytes_transferred", "bytes transferred", bytes, -1],
  ["forward_lead_mean", "mean lead, accesses", (value) => (value == null ? "-" : value.toFixed(2)), 0],
  ["forward_accuracy", "forward pages touched", percent, 0],
];

export function facts(run) {
  const { result } = run;
  const shown = METRICS.filter(([key]) => ["total_migration_time_ns", "downtime_ns", "stall_time_ns", "faults", "pages_transferred", "bytes_transferred"].includes(key));
  return h("ul", { class: "facts" }, ...shown.map(([key, label, form]) => h("li", {}, h("b", { text: form(result[key]) }), h("span", { text: label }))));
}

export class RunView {
  // Shows runs in `view`.
  constructor(view) {
    this.view = view;
    this.stage = new Stage();
    this.timeline = new Timeline({ onseek: (at) => { this.transport.pause(); this.transport.seek(at); } });
    this.transport = new Transport({ onchange: (at) => this.draw(at), step: (direction) => this.step(direction) });
    this.link = makeChart("Link", rate);
    this.misses = makeChart("Miss ratio since the start", (value) => percent(value, 0), { fixed: 1 });
    this.lines = h("ol", { class: "log events", "aria-label": "Events about this instant" });
    this.whole = h("input", { type: "checkbox" });
    this.whole.addEventListener("change", () => this.setRange());
    // Charts are drawn for the width that they have.
    new ResizeObserver(() => this.draw(this.transport.at)).observe(view);
  }

  // `title`: what stands above it, if anything does.
  show(player, title = []) {
    this.player = player;
    this.drawnFor = null;
    const { run } = player;
    this.stage.show(player);
    const notes = run.notes.length ? h("details", { class: "notes", open: true }, h("summary", { text: "What these files do not tell" }), h("ul", {}, ...run.notes.map((note) => h("li", { text: note })))) : null;
    this.view.replaceChildren(...title, this.transport.element, this.timeline.element,
      h("label", { class: "toggle" }, this.whole, h("span", { text: "to the end of the measured accesses" })),
      this.stage.element, makeLegend(), h("div", { class: "playback-lower" }, h("div", { class: "charts" }, this.link, this.misses), this.lines), notes ?? "");
    this.transport.at = 0;
    this.setRange();
  }

  setRange() {
    if (!this.player) return;
    const { run } = this.player;
    const range = [0, this.whole.checked ? run.end : run.focus];
    this.series = { link: linkUse(run, range), misses: missRatio(run, range) };
    this.timeline.show(run, range);
    this.transport.setRange(range);
  }

  draw(at) {
    if (!this.player) return;
    this.stage.draw(at);
    this.timeline.moveTo(at);
    const { range } = this.transport;
    drawChart(this.link, [{ class: "link", points: this.series.link, stepped: true, area: true }], { range, at });
    drawChart(this.misses, [{ class: "misses", points: this.series.misses }], { range, at });
    this.drawLines();
  }

  // The events before and after the present instant, the last that happened marked.
  drawLines() {
    const { steps, index } = this.player;
    const lines = [];
    let at = index - 1;
    for (; at >= 0 && lines.length < AROUND / 2; at -= 1) {
      if (steps[at].event && describe(steps[at].event)) lines.unshift(at);
    }
    const present = lines.at(-1);
    for (at = index; at < steps.length && lines.length < AROUND; at += 1) {
      if (steps[at].event && describe(steps[at].event)) lines.push(at);
    }
    if (this.drawnFor === `${present}:${lines.at(-1)}`) return;
    this.drawnFor = `${present}:${lines.at(-1)}`;
    this.lines.replaceChildren(...lines.map((number) => {
      const line = makeLine(steps[number].event, null, this.player.run.focus < FINE_BELOW);
      if (number === present) line.setAttribute("aria-current", "true");
      if (number > index - 1) line.classList.add("future");
      line.addEventListener("click", () => { this.transport.pause(); this.transport.seek(steps[number].at); });
      return line;
    }));
    const marked = this.lines.querySelector("[aria-current]");
    if (marked) this.lines.scrollTop = marked.offsetTop - this.lines.clientHeight / 2;
  }

  // The instant of the next or the last event that differs from now.
  step(direction) {
    if (!this.player) return null;
    return nextInstant(this.player, this.transport.at, direction);
  }
}

export function nextInstant(player, now, direction) {
  let index = player.indexAt(now);
  for (;;) {
    const found = player.neighbour(index, direction, (event) => describe(event) != null);
    if (found == null) return direction > 0 ? null : 0;
    const { at } = player.steps[found - 1];
    if (direction > 0 ? at > now : at < now) return at;
    index = found;
  }
}
