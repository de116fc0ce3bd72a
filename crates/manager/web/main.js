// The page: three views of one manager, told apart by the address's fragment.

import { Commands } from "./commands.js";
import { Compare } from "./compare.js";
import { Connection } from "./connection.js";
import { byId, setAttribute } from "./dom.js";
import { listen, openHelp } from "./keyboard.js";
import { Live } from "./live.js";
import { addPatterns } from "./patterns.js";
import { Playback } from "./playback.js";
import { Pace } from "./pace.js";
import { nextTheme, startTheme } from "./theme.js";

const VIEWS = ["live", "play", "compare"];

startTheme();
addPatterns(document.body);
const connection = new Connection();
const commands = new Commands(connection);
const pace = new Pace(connection, commands);
const playback = new Playback();
const compare = new Compare(playback);
new Live(connection, {
  migrate: (vm) => commands.open("migrate", { vm }),
  start: (vm) => commands.run(`vm start ${vm}`),
  cancel: (vm) => commands.run(`migrate cancel ${vm}`),
  recover: (vm) => commands.run(`migrate recover ${vm}`),
  reclaim: (vm) => commands.run(`migrate reclaim ${vm}`),
  show: (vm) => connection.show(vm),
  play: (directory) => { location.hash = `play=${encodeURIComponent(directory)}`; },
});
connection.open();

let view = "live";

// A part of the address that somebody may have written by hand.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function route() {
  const [name, rest] = location.hash.slice(1).split("=");
  view = VIEWS.includes(name) ? name : "live";
  for (const each of VIEWS) {
    setAttribute(byId(`view-${each}`), "hidden", each !== view);
    setAttribute(byId(`tab-${each}`), "aria-current", each === view ? "page" : null);
  }
  playback.transport.pause();
  compare.transport.pause();
  const names = rest?.split(",").map(decoded).filter(Boolean);
  if (view === "play") {
    if (names?.length) playback.open(names[0]);
    else playback.refresh();
  }
  if (view === "compare") compare.open(names?.length === 2 ? names : null);
}

addEventListener("hashchange", route);
byId("help").addEventListener("click", openHelp);

const shown = () => (view === "play" ? playback : view === "compare" ? compare : null);
listen({
  transport: () => {
    const current = shown();
    return current && (current.player || current.players) ? current.transport : null;
  },
  go: (name) => { location.hash = name; },
  form: (name) => { if (view === "live") commands.open(name); },
  pace: () => (view === "live" ? pace : null),
  theme: nextTheme,
  search: () => byId(view === "play" ? "runs-filter" : "line").focus(),
  whole: () => shown()?.whole.click(),
});
route();
