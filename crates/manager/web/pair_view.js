// Two runs on one axis of time: the same guest under two schemes.

import { h, setText } from "./dom.js";
import { duration } from "./format.js";
import { makeLegend } from "./grid.js";
import { explain } from "./explain.js";
import { stallAt } from "./history.js";
import { drawChart, makeChart } from "./charts.js";
import { METRICS, nextInstant } from "./run_view.js";
import { Stage } from "./stage.js";
import { Timeline } from "./timeline.js";
import { Transport } from "./transport.js";

// Faults of which the page tells what became of them.
const MOST_TOLD = 12;

// Stall so far over time, for a chart. Pure.
export function stallCurve(run, range) {
  const edges = run.faults.flatMap((fault) => [fault.begins, fault.ends ?? run.end]).filter((at) => at <= range[1]);
  return [range[0], ...edges, range[1]].sort((a, b) => a - b).map((at) => [at, stallAt(run, at)]);
}

// Whether two runs are of the same guest, so that comparing them says something. Pure.
export function differences(a, b) {
  const guest = (run) => JSON.stringify({ ...run.result.scenario?.guest });
  const found = [];
  if (a.seed !== b.seed) found.push(`the seeds differ (${a.seed} and ${b.seed})`);
  if (guest(a) !== guest(b)) found.push("the guests differ");
  if (a.result.scenario?.link?.bandwidth !== b.result.scenario?.link?.bandwidth) found.push("the links differ");
  if (JSON.stringify(a.result.scenario?.disk) !== JSON.stringify(b.result.scenario?.disk)) found.push("the disks differ");
  return found;
}

export class PairView {
  // Shows pairs in `view`.
  constructor(view) {
    this.view = view;
    const onseek = (at) => { this.transport.pause(); this.transport.seek(at); };
    this.lanes = [0, 1].map(() => ({ timeline: new Timeline({ onseek }), stage: new Stage({ withSource: false }), total: h("p", { class: "big tabular" }), title: h("h3", {}) }));
    this.transport = new Transport({ onchange: (at) => this.draw(at), step: (direction) => this.step(direction) });
    this.stalls = makeChart("Stall so far", duration);
    this.whole = h("input", { type: "checkbox" });
    this.whole.addEventListener("change", () => this.setRange());
    // Charts are drawn for the width that they have.
    new ResizeObserver(() => this.draw(this.transport.at)).observe(view);
  }

  show(players) {
    this.players = players;
    const [a, b] = this.players.map(({ run }) => run);
    const apart = differences(a, b);
    this.lanes.forEach(({ stage, title, timeline }, index) => {
      const { run } = this.players[index];
      stage.show(this.players[index]);
      title.replaceChildren(h("span", { class: `scheme ${run.scheme}`, text: run.scheme }), ` seed ${run.seed}`);
      timeline.label = run.scheme;
    });
    const warning = apart.length ? h("p", { class: "problem", text: `These runs are not of the same guest under the same conditions: ${apart.join(", ")}.` }) : null;
    // Of different guests, one's faults say nothing of the other's.
    this.alike = !apart.some((difference) => /guests|seeds/.test(difference));
    this.ghosts = this.alike ? [explain(b, a), explain(a, b)] : [[], []];
    const lanes = this.lanes.map(({ title, total, timeline }) => h("section", { class: "lane-row" }, h("header", {}, title, total), timeline.element));
    const stages = h("div", { class: "pair" }, ...this.lanes.map(({ stage }) => stage.element));
    this.view.replaceChildren(...[warning, this.transport.element, ...lanes].filter(Boolean),
      h("label", { class: "toggle" }, this.whole, h("span", { text: "to the end of the measured accesses" })), this.key(), stages, makeLegend(),
      h("div", { class: "compare-lower" }, this.metrics(a, b), h("div", {}, this.stalls, this.why(a, b))));
    this.transport.at = 0;
    this.setRange();
  }

  key() {
    return h("ul", { class: "legend timeline-key" }, ...[["stall remote", "waits for the source"], ["stall disk", "waits for the disk"], ["down", "downtime"], ["ghost", "a fault of the other run, spared here"]]
      .map(([name, text]) => h("li", {}, h("i", { class: `swatch ${name}` }), text)));
  }

  metrics(a, b) {
    const rows = METRICS.filter(([key]) => a.result[key] != null || b.result[key] != null).map(([key, label, form, better]) => {
      const values = [a.result[key], b.result[key]];
      const wins = (index) => better && values.every((value) => value != null) && values[0] !== values[1] && (values[index] - values[1 - index]) * better > 0;
      return h("tr", {}, h("th", { scope: "row", class: label.startsWith(" ") ? "part" : null, text: label.trim() }),
        ...[0, 1].map((index) => h("td", { class: `number${wins(index) ? " less" : ""}` }, form(values[index]), wins(index) ? h("span", { class: "less-mark", title: "the lesser", text: " ✓" }) : "")));
    });
    return h("table", {}, h("thead", {}, h("tr", {}, h("th", {}), h("th", { scope: "col", class: "number", text: a.scheme }), h("th", { scope: "col", class: "number", text: b.scheme === a.scheme ? `${b.scheme} (B)` : b.scheme }))), h("tbody", {}, ...rows));
  }

  why(a, b) {
    if (!this.alike) return "";
    const [fewer, more] = a.faults.length <= b.faults.length ? [a, b] : [b, a];
    if (!more.faults.length) return h("p", { text: "Neither run has a page fault of the migration." });
    // Those that are spared tell more than those that are shorter.
    const all = explain(more, fewer).sort((x, y) => Number(y.spared) - Number(x.spared));
    const told = all.slice(0, MOST_TOLD);
    const rest = more.faults.length - told.length;
    return h("section", { class: "why" }, h("h3", { text: fewer.faults.length ? `Faults under ${more.scheme}, and what becomes of them under ${fewer.scheme}` : `Why ${fewer.scheme} has no fault` }),
      h("ul", {}, ...told.map(({ text }) => h("li", { text })), rest > 0 ? h("li", { class: "faint", text: `and ${rest} more` }) : ""));
  }

  setRange() {
    if (!this.players) return;
    const runs = this.players.map(({ run }) => run);
    const range = [0, Math.max(...runs.map((run) => (this.whole.checked ? run.end : run.focus)))];
    // Lazy-copy has its colour on whichever side it stands.
    this.classes = runs[0].scheme === "lazy-copy" && runs[1].scheme !== "lazy-copy" ? ["second", "first"] : ["first", "second"];
    this.curves = runs.map((run) => stallCurve(run, range));
    this.lanes.forEach(({ timeline }, index) => {
      timeline.show(runs[index], range, this.ghosts[index].filter(({ at }) => at != null));
    });
    this.transport.setRange(range);
  }

  draw(at) {
    if (!this.players) return;
    this.lanes.forEach(({ timeline, stage, total }, index) => {
      const { run } = this.players[index];
      stage.draw(at);
      timeline.moveTo(at);
      const faults = run.faults.filter((fault) => fault.begins <= at).length;
      setText(total, `${faults} ${faults === 1 ? "fault" : "faults"}, stall ${duration(stallAt(run, at))}`);
    });
    drawChart(this.stalls, this.curves.map((points, index) => ({ class: this.classes[index], points })), { range: this.transport.range, at });
    setText(this.stalls.now, this.players.map(({ run }) => `${run.scheme} ${duration(stallAt(run, at))}`).join(", "));
  }

  step(direction) {
    if (!this.players) return null;
    const found = this.players.map((player) => nextInstant(player, this.transport.at, direction)).filter((at) => at != null);
    if (!found.length) return null;
    return direction > 0 ? Math.min(...found) : Math.max(...found);
  }
}
