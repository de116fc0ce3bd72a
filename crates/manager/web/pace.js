// How time goes for all that runs: freeze it, let it go on, step it, slow it down.

import { announce, byId, h, s, setAttribute, setText } from "./dom.js";

const FACTORS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const SPANS = ["1ms", "10ms", "100ms", "500ms", "1s", "2s", "5s", "10s"];
const USUAL = { frozen: false, slower: 1 };

const ICONS = { freeze: "M3 1h4v14h-4ZM9 1h4v14h-4Z", go: "M3 1l11 7l-11 7Z", step: "M2 1l7 7l-7 7ZM11 1h3v14h-3Z" };

function drawn(icon) {
  return s("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: ICONS[icon] }));
}

// How time goes, in a few words. Pure.
export function paceText({ frozen, slower }) {
  const slowed = slower === 1 ? "" : `${slower} times slower`;
  if (frozen) return `Time stands still${slowed && `; it will go ${slowed}`}`;
  return slowed ? `Time goes ${slowed}` : "Time goes";
}

// The factor beside `slower`, in that direction. Pure.
export function nextFactor(slower, direction) {
  const beside = direction > 0 ? FACTORS.find((factor) => factor > slower) : FACTORS.findLast((factor) => factor < slower);
  return beside ?? slower;
}

export class Pace {
  constructor(connection, commands) {
    Object.assign(this, { commands, pace: USUAL });
    const button = (act) => h("button", { type: "button", onclick: act });
    this.sign = h("b", {});
    this.hint = h("span", { class: "faint small" });
    this.freezing = button(() => this.toggle());
    this.stepping = button(() => this.step());
    this.stepping.append(drawn("step"), " Step");
    setAttribute(this.stepping, "title", "Go on by that much model time and stand still again (.)");
    this.span = h("input", { value: "1s", size: 6, list: "spans", spellcheck: "false", autocomplete: "off", "aria-label": "Step by", title: "Model time: 100ms, 2s" });
    this.span.addEventListener("keydown", (event) => { if (event.key === "Enter") this.step(); });
    this.factor = h("select", { "aria-label": "Pace", title: "How much slower than each guest's time_scale says (- and +)" });
    this.factor.addEventListener("change", () => this.slow(Number(this.factor.value)));
    const spans = h("datalist", { id: "spans" }, ...SPANS.map((value) => h("option", { value })));
    byId("pace").append(h("p", { class: "pace-sign" }, this.sign, " ", this.hint), h("span", { class: "spring" }),
      h("div", { class: "pace-controls" }, this.freezing, this.stepping, this.span, spans, this.factor));
    connection.addEventListener("snapshot", () => this.show(connection.snapshot?.pace ?? USUAL));
    this.show(USUAL);
  }

  show(pace) {
    const text = paceText(pace);
    if (this.sign.textContent && this.sign.textContent !== text) announce(text);
    this.pace = pace;
    const { frozen, slower } = pace;
    setText(this.sign, text);
    setText(this.hint, frozen ? "on all servers; results do not change" : "");
    const verb = frozen ? "Go on" : "Freeze";
    if (this.freezing.textContent.trim() !== verb) {
      this.freezing.replaceChildren(drawn(frozen ? "go" : "freeze"), ` ${verb}`);
      setAttribute(this.freezing, "class", frozen ? "main" : null);
      setAttribute(this.freezing, "title", `${frozen ? "Let time go on" : "Have time stand still"} on all servers (f)`);
    }
    for (const control of [this.stepping, this.span]) setAttribute(control, "disabled", !frozen);
    const factors = [...new Set([...FACTORS, slower])].sort((a, b) => a - b);
    if (this.factor.childElementCount !== factors.length) this.factor.replaceChildren(...factors.map((value) => h("option", { value, text: value === 1 ? "usual pace" : `${value}× slower` })));
    if (document.activeElement !== this.factor || this.shown !== slower) this.factor.value = slower;
    this.shown = slower;
    const chip = byId("pace-chip");
    setText(chip, text);
    setAttribute(chip, "hidden", !frozen && slower === 1);
    setAttribute(chip, "data-phase", frozen ? "frozen" : "slowed");
    setAttribute(document.body, "data-frozen", frozen);
  }

  toggle() {
    return this.commands.run(this.pace.frozen ? "time go" : "time freeze");
  }

  step() {
    if (this.pace.frozen) return this.commands.run(`time step ${this.span.value.replaceAll(/\s/g, "") || "1s"}`);
    return announce("Time goes; freeze it first");
  }

  slow(factor) {
    if (factor !== this.pace.slower) this.commands.run(`time slow ${factor}`);
  }

  shift(direction) {
    this.slow(nextFactor(this.pace.slower, direction));
  }
}
