// The replay in a report, which holds its runs itself: one is played back, two are compared.

import { byId, h } from "./dom.js";
import { unpack } from "./packed.js";
import { PairView } from "./pair_view.js";
import { addPatterns } from "./patterns.js";
import { Player } from "./reducer.js";
import { readRun } from "./run.js";
import { RunView } from "./run_view.js";

const place = byId("replay");
const players = JSON.parse(byId("replay-data").textContent)
  .map(({ result, events, before, accesses }) => new Player(readRun(result, unpack(events), { before, accesses })));

addPatterns(place);
const view = h("div", { class: "playback-view" });
place.append(view);
const shown = players.length === 1 ? new RunView(view) : new PairView(view);
shown.show(players.length === 1 ? players[0] : players);

// Keys belong to the page until the reader is in the replay.
place.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input[type=checkbox]")) return;
  const onControl = event.target.closest("button, summary");
  const act = shown.transport.keys({ far: event.shiftKey, onControl, whole: () => shown.whole.click() })[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
