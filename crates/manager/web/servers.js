// Servers side by side, each with its guests and their memories.

import { h, keyed, setAttribute, setText } from "./dom.js";
import { drawGrid, makeGrid } from "./grid.js";
import { count, duration, percent } from "./format.js";

// Guests of a server that are shown with their memory.
const MOST_CARDS = 8;

// Rows of the guests beyond.
const MOST_ROWS = 200;

const PHASES = {
  created: "created", running: "running", suspended: "suspended", stopped: "stopped",
  migrating_out: "migrating out", migrating_in: "migrating in", failed: "failed",
};

// What a server's state is called, where its own name does not say it.
const STATES = { silent: "does not answer", away: "away: waited for" };

// What stands on each server: its guests, and what of a running migration is here; first the guest that the
// viewer has chosen, then those that migrate. Pure.
export function placesOf(snapshot, chosen = null) {
  const running = new Map(snapshot.migrations.filter((m) => m.phase !== "ended").map((m) => [m.vm, m]));
  return snapshot.servers.map((server) => {
    const places = [];
    for (const vm of snapshot.vms) {
      const migration = running.get(vm.name);
      if (migration?.source === server.name) {
        places.push({ vm, migration, side: "source", memory: migration.source_memory ?? vm.memory });
      } else if (migration?.destination === server.name) {
        places.push({ vm, migration, side: "destination", memory: migration.destination_memory });
      } else if (!migration && vm.server === server.name) {
        places.push({ vm, migration: null, side: null, memory: vm.memory });
      }
    }
    const rank = ({ vm, migration }) => (vm.name === chosen ? 2 : migration ? 1 : 0);
    places.sort((a, b) => rank(b) - rank(a));
    return { server, places };
  });
}

// What is said of a guest on one side of its migration.
function standing({ vm, migration, side }, stall) {
  if (!migration) return PHASES[vm.phase] ?? vm.phase;
  const { phase } = migration;
  if (side === "source") {
    if (phase === "preparing" || phase === "rounds") return "runs here";
    if (phase === "down") return "suspended";
    return phase === "measuring" ? "freed" : migration.forward_accesses == null ? "pages waiting" : "forward context";
  }
  if (phase === "preparing" || phase === "rounds" || phase === "down") return "arriving";
  return stall ? `waits for Page${stall.page}` : "runs here";
}

function makeCard(actions) {
  const card = h("article", { class: "guest" });
  const name = h("h3", {});
  const chip = h("span", { class: "chip" });
  const facts = h("p", { class: "faint small tabular" });
  const grid = makeGrid();
  const empty = h("p", { class: "faint small" });
  const moves = h("div", { class: "guest-actions" });
  const move = h("button", { type: "button", class: "quiet", text: "Migrate…" });
  const start = h("button", { type: "button", class: "quiet", text: "Start" });
  const show = h("button", { type: "button", class: "quiet", text: "Show memory" });
  moves.append(show, move, start);
  card.append(h("header", {}, name, chip, moves), facts, grid, empty);
  move.addEventListener("click", () => actions.migrate(card.place.vm.name));
  start.addEventListener("click", () => actions.start(card.place.vm.name));
  show.addEventListener("click", () => actions.show(card.place.vm.name));
  Object.assign(card, { name, chip, facts, grid, empty, move, start, show });
  return card;
}

function drawCard(card, place, isChosen) {
  card.place = place;
  const { vm, migration, side } = place;
  const stall = migration?.fault;
  const gone = side === "source" && migration.phase === "measuring";
  const memory = gone ? null : place.memory;
  setText(card.name, vm.name);
  setText(card.chip, standing(place, stall));
  setAttribute(card.chip, "data-phase", migration ? (stall && side === "destination" ? "stalled" : side) : vm.phase);
  setAttribute(card, "class", `guest${stall && side === "destination" ? " stalled" : ""}${migration ? " moving" : ""}${isChosen ? " chosen" : ""}`);
  setAttribute(card.move, "hidden", Boolean(migration) || vm.phase === "failed");
  setAttribute(card.start, "hidden", vm.phase !== "created" || Boolean(migration));
  setAttribute(card.show, "hidden", isChosen || Boolean(memory) || gone || !["running", "suspended"].includes(vm.phase));
  const ratio = vm.miss_ratio == null ? "" : `, miss ratio ${percent(vm.miss_ratio)}, recently ${percent(vm.recent_miss_ratio)}`;
  // The numbers are the guest's, and stand where it is.
  const accesses = side === "destination" ? migration.following_accesses : vm.accesses;
  const isHere = !migration || ((side === "source") === !(migration.following_accesses > 0));
  const counts = isHere ? `, ${count(accesses)} accesses${vm.accesses ? ratio : ""}` : "";
  setText(card.facts, `${count(vm.pages)} pages, ${count(vm.frames)} frames${counts}${vm.real_memory ? ", real memory" : ""}`);
  drawGrid(card.grid, memory, { name: `Memory of ${vm.name}`, kind: side, blocked: stall?.page });
  setText(card.empty, memory ? "" : gone ? `Freed here; it runs at ${migration.destination}.` : vm.phase === "created" ? "Not started: its memory fills when it runs or migrates." : "No picture of its memory.");
}

function makePanel() {
  const panel = h("section", { class: "server" });
  const name = h("h2", {});
  const state = h("span", { class: "chip" });
  const address = h("span", { class: "faint small tabular" });
  const bar = h("progress", { max: 1, "aria-label": "frames taken" });
  const taken = h("span", { class: "faint small tabular" });
  const cards = h("div", { class: "guests" });
  const rest = h("ul", { class: "rest small" });
  const none = h("p", { class: "faint empty-server", text: "No guests." });
  panel.append(h("header", {}, name, state, address), h("div", { class: "taken" }, bar, taken), cards, rest, none);
  Object.assign(panel, { name, state, address, bar, taken, cards, rest, none });
  return panel;
}

// A guest that is not shown, and can be.
function makeRow(name, actions) {
  return h("li", {}, name ? h("button", { type: "button", class: "quiet", title: "Show its memory", onclick: () => actions.show(name) }) : h("span", {}));
}

// `chosen`: the guest that the viewer wants to see.
export function drawServers(root, snapshot, chosen, actions) {
  keyed(root, placesOf(snapshot, chosen), ({ server }) => server.name, makePanel, (panel, { server, places }) => {
    setText(panel.name, server.name);
    setText(panel.state, STATES[server.state] ?? server.state);
    setAttribute(panel.state, "data-phase", server.state);
    setAttribute(panel.state, "hidden", server.state === "ready");
    setText(panel.address, [server.address, server.pid ? `process ${server.pid}` : ""].filter(Boolean).join(", "));
    panel.bar.value = server.frames ? server.frames_taken / server.frames : 0;
    setText(panel.taken, `${count(server.frames_taken)} of ${count(server.frames)} frames taken`);
    setAttribute(panel, "aria-label", `Server ${server.name}`);
    const shown = places.slice(0, MOST_CARDS);
    const beyond = places.slice(MOST_CARDS);
    keyed(panel.cards, shown, ({ vm }) => vm.name, () => makeCard(actions), (card, place) => drawCard(card, place, place.vm.name === chosen));
    const rows = beyond.slice(0, MOST_ROWS).map(({ vm }) => ({ key: vm.name, name: vm.name, text: `${vm.name}: ${PHASES[vm.phase] ?? vm.phase}, ${count(vm.frames)} frames, miss ratio ${percent(vm.miss_ratio)}` }));
    if (beyond.length > MOST_ROWS) rows.push({ key: "\u0000more", text: `and ${count(beyond.length - MOST_ROWS)} more` });
    keyed(panel.rest, rows, ({ key }) => key, ({ name }) => makeRow(name, actions), (row, { text }) => setText(row.firstElementChild, text));
    setAttribute(panel.none, "hidden", places.length > 0);
  });
}

export function stallText(stall, model_ns) {
  const waited = model_ns != null ? Math.max(0, model_ns - stall.since_ns) : null;
  return `Page${stall.page}${waited ? ` for ${duration(waited)}` : ""}`;
}
