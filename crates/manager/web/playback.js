// Finished runs, and the one that is played back.

import { runFiles, runList } from "./connection.js";
import { byId, h, setAttribute, setText } from "./dom.js";
import { count, duration } from "./format.js";
import { Player } from "./reducer.js";
import { parseEvents, readRun } from "./run.js";
import { RunView, facts } from "./run_view.js";

// Reads a run's files; every problem is an error with words for a person.
export async function loadRun(name) {
  const { result, events, before, accesses } = await runFiles(name);
  return new Player(readRun(result, parseEvents(events, `${name}/events.jsonl`), { name, before, accesses }));
}

export class Playback extends RunView {
  constructor() {
    super(byId("playback-view"));
    this.list = byId("runs");
    byId("runs-filter").addEventListener("input", () => this.drawList());
    byId("runs-again").addEventListener("click", () => this.refresh());
  }

  async refresh() {
    try {
      this.runs = await runList();
      setText(byId("runs-problem"), "");
    } catch (problem) {
      this.runs ??= [];
      setText(byId("runs-problem"), problem.message);
    }
    this.drawList();
    return this.runs;
  }

  drawList() {
    const wanted = byId("runs-filter").value.trim().toLowerCase();
    const runs = (this.runs ?? []).filter((run) => !wanted || JSON.stringify(run).toLowerCase().includes(wanted));
    this.list.replaceChildren(...runs.map((run) => this.row(run)));
    setAttribute(byId("no-runs"), "hidden", (this.runs ?? []).length > 0);
  }

  row(run) {
    if (run.error) return h("li", { class: "broken" }, h("b", { text: run.name }), h("p", { class: "problem small", text: run.error }));
    const open = h("a", { href: `#play=${encodeURIComponent(run.name)}`, "aria-current": this.name === run.name ? "true" : null },
      h("b", { text: run.vm ?? run.name }), h("span", { class: `scheme ${run.scheme}`, text: run.scheme }),
      h("span", { class: "faint small", text: `${run.source} → ${run.destination}, seed ${run.seed ?? "-"}, ${count(run.pages)} pages` }),
      h("span", { class: "small tabular", text: run.outcome === "completed" ? `${duration(run.total_migration_time_ns)}, stall ${duration(run.stall_time_ns)}, ${count(run.faults)} ${run.faults === 1 ? "fault" : "faults"}` : run.outcome }));
    return h("li", { title: run.name }, open);
  }

  async open(name) {
    this.name = name;
    this.transport.pause();
    this.view.replaceChildren(h("p", { class: "faint", text: `reading ${name} …` }));
    if (!this.runs) await this.refresh();
    try {
      const player = await loadRun(name);
      if (this.name === name) this.show(player);
    } catch (problem) {
      this.player = null;
      this.view.replaceChildren(h("p", { class: "problem", role: "alert", text: problem.message }));
    }
    this.drawList();
  }

  show(player) {
    const { run } = player;
    const title = `${run.scheme}: ${run.source} → ${run.destination}`;
    const about = `${run.name}; seed ${run.seed}${run.result.preset ? `, preset ${run.result.preset}` : ""}; ${count(run.pages)} pages, ${count(run.frames)} frames; ${run.result.outcome}: ${run.result.reason}`;
    super.show(player, [h("header", { class: "run-title" }, h("div", {}, h("h2", { text: title }), h("p", { class: "faint small", text: about })),
      h("a", { class: "button quiet", href: this.partner(run) ?? "#compare", text: "Compare …" })), facts(run)]);
  }

  // The comparison with the same guest under the other scheme, where there is one.
  partner(run) {
    const other = (this.runs ?? []).find((candidate) => !candidate.error && candidate.seed === run.seed && candidate.scheme !== run.scheme
      && candidate.pages === run.pages && candidate.frames === run.frames && /(post|lazy)-copy$/.test(candidate.scheme));
    return other ? `#compare=${encodeURIComponent(run.name)},${encodeURIComponent(other.name)}` : null;
  }
}
