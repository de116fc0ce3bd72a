// Two finished runs, chosen and shown on one axis of time.

import { byId, h } from "./dom.js";
import { PairView } from "./pair_view.js";
import { loadRun } from "./playback.js";

// A pair that shows something: the newest lazy-copy and the post-copy of the same guest and seed. Pure.
export function suggestedPair(runs) {
  const good = runs.filter((run) => !run.error && run.outcome === "completed");
  for (const lazy of good.filter((run) => run.scheme === "lazy-copy")) {
    const alike = (run) => run.seed === lazy.seed && run.pages === lazy.pages && run.frames === lazy.frames;
    const post = good.filter((run) => run.scheme === "post-copy" && alike(run));
    if (post.length) return [nearest(post, lazy).name, lazy.name];
  }
  return good.length > 1 ? [good[1].name, good[0].name] : null;
}

// Of several that fit, the one of the same session: its name has most in common.
function nearest(candidates, run) {
  const parts = new Set(run.name.split(/[-T]/));
  const shared = (candidate) => candidate.name.split(/[-T]/).filter((part) => parts.has(part)).length;
  return candidates.reduce((best, candidate) => (shared(candidate) > shared(best) ? candidate : best));
}

export class Compare extends PairView {
  constructor(playback) {
    super(byId("compare-view"));
    this.playback = playback;
    this.selects = [byId("compare-a"), byId("compare-b")];
    for (const select of this.selects) {
      select.addEventListener("change", () => { location.hash = `compare=${this.selects.map(({ value }) => encodeURIComponent(value)).join(",")}`; });
    }
  }

  async open(names) {
    const runs = await this.playback.refresh();
    const pair = names ?? suggestedPair(runs);
    const good = runs.filter((run) => !run.error);
    this.selects.forEach((select, index) => {
      select.replaceChildren(...good.map((run) => h("option", { value: run.name, text: `${run.scheme}, seed ${run.seed}: ${run.name}` })));
      if (pair) select.value = pair[index];
    });
    this.players = null;
    if (!pair) {
      this.view.replaceChildren(h("p", { class: "faint", text: "Two finished runs are needed: migrate the same guest, with the same seed, under post-copy and under lazy-copy." }));
      return;
    }
    this.view.replaceChildren(h("p", { class: "faint", text: "reading both runs …" }));
    try {
      this.show(await Promise.all(pair.map(loadRun)));
    } catch (problem) {
      this.players = null;
      this.view.replaceChildren(h("p", { class: "problem", role: "alert", text: problem.message }));
    }
  }
}
