// Keys, and the page that tells them.

import { byId, h } from "./dom.js";

const HELP = [
  ["1  2  3", "Live, Playback, Compare"], ["/", "to the command line (Live) or the filter (Playback)"],
  ["s  g  m  p", "forms: start a server, create a guest, migrate, policy"],
  ["f", "freeze time on all servers, or let it go on (Live)"], [".", "one step of time, while it stands still (Live)"],
  ["space", "play or pause"], ["← →", "one event back or on"], ["shift ← →", "a greater stride"],
  ["Home  End", "to the beginning, to the end"], ["+  -", "faster, slower: what is played, or time itself (Live)"],
  ["w", "the whole run, or the migration alone"], ["d", "light, dark or as the system says"],
  ["?", "this page"], ["Esc", "closes a dialog"],
];

function isTyping(target) {
  return target.closest?.("input:not([type=range]):not([type=checkbox]), select, textarea, [contenteditable]") != null;
}

export function openHelp() {
  const dialog = byId("form");
  dialog.replaceChildren(h("form", { method: "dialog" }, h("h2", { text: "Keys" }),
    h("dl", { class: "keys" }, ...HELP.flatMap(([keys, text]) => [h("dt", {}, ...keys.split("  ").map((key) => h("kbd", { text: key }))), h("dd", { text })])),
    h("menu", {}, h("button", { class: "main", text: "Close" }))));
  dialog.showModal();
}

// `actions.transport()` gives the clock of the view that is shown, if it has one.
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || byId("form").open) return;
    const transport = actions.transport();
    const pace = actions.pace();
    const onControl = event.target.closest?.("button, a, summary, input[type=checkbox]");
    const keys = {
      1: () => actions.go("live"), 2: () => actions.go("play"), 3: () => actions.go("compare"),
      "?": openHelp, d: actions.theme, "/": actions.search,
      s: () => actions.form("server"), g: () => actions.form("vm"), m: () => actions.form("migrate"), p: () => actions.form("policy"),
      ...(transport && transport.keys({ far: event.shiftKey, onControl, whole: actions.whole })),
      ...(pace && {
        f: () => pace.toggle(), ".": () => pace.step(),
        "+": () => pace.shift(-1), "=": () => pace.shift(-1), "-": () => pace.shift(1),
      }),
    };
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
