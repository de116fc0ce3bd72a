// The event log in words, to be filtered.

import { h, setAttribute, setText } from "./dom.js";
import { clock, plural } from "./format.js";
import { CATEGORIES, category, describe } from "./words.js";

// Lines on the page at once; older ones can be found by the filter.
const MOST_LINES = 400;

export function makeLine(event, vm, fine = false) {
  return h("li", { class: `line ${category(event)}`, dataset: { side: event.side, cause: event.cause ?? (event.by === "disk" ? "disk" : "") } },
    h("time", { class: "tabular", text: clock(event.at_ns, fine) }),
    h("span", { class: "seen-at", title: event.side === "source" ? "seen at the source" : "seen at the destination", text: event.side === "source" ? "S" : "D" }),
    h("span", {}, vm ? h("b", { text: `${vm}: ` }) : "", describe(event)));
}

export class Log {
  constructor(root) {
    this.shown = new Set(["milestone", "fault", "forward", "page"]);
    this.entries = [];
    this.list = h("ol", { class: "log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Events, the newest last" });
    this.search = h("input", { type: "search", placeholder: "guest, page, word …", "aria-label": "Filter the log", spellcheck: "false" });
    this.count = h("span", { class: "faint small tabular" });
    const boxes = Object.entries(CATEGORIES).map(([name, label]) => {
      const box = h("input", { type: "checkbox", checked: this.shown.has(name) });
      box.addEventListener("change", () => {
        if (box.checked) this.shown.add(name);
        else this.shown.delete(name);
        this.redraw();
      });
      return h("label", { class: `toggle ${name}` }, box, h("span", { text: label }));
    });
    this.search.addEventListener("input", () => this.redraw());
    root.append(h("div", { class: "log-filter" }, this.search, this.count), h("div", { class: "toggles" }, ...boxes), this.list);
    this.tally();
  }

  fits({ event, vm, missed }) {
    if (missed != null) return true;
    const text = describe(event);
    if (text == null || !this.shown.has(category(event))) return false;
    const wanted = this.search.value.trim().toLowerCase();
    return !wanted || `${vm}: ${text}`.toLowerCase().includes(wanted);
  }

  lineOf(entry) {
    if (entry.missed != null) return h("li", { class: "line faint", text: `${plural(entry.missed, "entry", "entries")} left out: this page was too slow for them.` });
    return makeLine(entry.event, entry.vm);
  }

  // `all` is what is kept, `fresh` what has come since.
  add(all, fresh) {
    this.entries = all;
    const following = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 40;
    const lines = fresh.slice(-MOST_LINES).filter((entry) => this.fits(entry)).map((entry) => this.lineOf(entry));
    this.list.append(...lines);
    while (this.list.childElementCount > MOST_LINES) this.list.firstElementChild.remove();
    if (following) this.list.scrollTop = this.list.scrollHeight;
    this.tally();
  }

  // `all` is what is kept, and may be other than what was.
  show(all) {
    this.entries = all;
    this.redraw();
  }

  redraw() {
    const fitting = this.entries.filter((entry) => this.fits(entry)).slice(-MOST_LINES);
    this.list.replaceChildren(...fitting.map((entry) => this.lineOf(entry)));
    this.list.scrollTop = this.list.scrollHeight;
    this.tally();
  }

  tally() {
    const lines = this.list.childElementCount;
    setText(this.count, lines >= MOST_LINES ? `the last ${MOST_LINES}` : plural(lines, "line"));
    setAttribute(this.list, "data-empty", lines === 0);
  }
}
