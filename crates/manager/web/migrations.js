// A card for each migration: how far it is, where both contexts are, what came and what it cost.

import { h, keyed, setAttribute, setText } from "./dom.js";
import { drawChart, drawTrack, makeChart, makeTrack } from "./charts.js";
import { bytes, count, duration, percent, rate } from "./format.js";
import { ESTIMATE_NOTE, Estimates } from "./estimate.js";
import { stallText } from "./servers.js";
import { CAUSES } from "./words.js";

const PHASES = {
  preparing: "preparing", rounds: "copying in rounds", down: "the guest is down",
  pushing: "pages are on their way", measuring: "complete; measured accesses go on", ended: "ended",
};

// Migrations that run and are shown in full, the newest; of others there is one line.
const MOST_OPEN = 6;

const estimates = new Estimates();

function counter(label, key, title) {
  const value = h("b", { class: "tabular", text: "0" });
  const box = h("li", { title, dataset: { counter: key } }, value, h("span", { text: label }));
  box.figure = value;
  return box;
}

function flash(box) {
  box.classList.remove("flash");
  // Reading a size lets the animation begin anew.
  void box.offsetWidth;
  box.classList.add("flash");
}

// `isNews`: a change is to be seen, since something has happened to the guest.
function setCounter(box, text, isNews) {
  const changes = box.seen && box.figure.textContent !== text;
  setText(box.figure, text);
  if (isNews && changes) flash(box);
  box.seen = true;
}

function makeCard(actions) {
  const card = h("article", { class: "migration" });
  const heading = h("h3", {});
  const chip = h("span", { class: "chip" });
  const cancel = h("button", { type: "button", class: "quiet", text: "Cancel" });
  const recover = h("button", { type: "button", class: "quiet", text: "Recover", title: "Try at once to mend the link" });
  const reclaim = h("button", { type: "button", class: "quiet", text: "Take back" });
  const play = h("button", { type: "button", class: "quiet", text: "Play back" });
  const bar = h("progress", { max: 1, "aria-label": "progress" });
  const left = h("span", { class: "tabular" });
  const clock = h("span", { class: "faint tabular" });
  const stall = h("p", { class: "stall-line", role: "status" });
  const counters = Object.entries({ round: 1, background: 1, forward: 1, demand: 1 })
    .map(([cause]) => counter(CAUSES[cause].name, cause, `pages ${CAUSES[cause].long}`));
  const remote = counter("faults, source", "remote", "page faults that a page from the source ended");
  const disk = counter("faults, disk", "faultdisk", "page faults that the disk ended");
  const stalled = counter("stall", "stall", "how long the guest was blocked by them");
  const sent = counter("sent", "bytes", "bytes that crossed the link");
  const track = makeTrack();
  const link = makeChart("Link", rate);
  const misses = makeChart("Recent miss ratio", (value) => percent(value, 0), { fixed: 1 });
  const reason = h("p", { class: "faint small" });
  const tint = counters.map((box) => (box.prepend(h("i", { class: "cell key", "data-cause": box.dataset.counter }, h("b", {}), h("em", { text: CAUSES[box.dataset.counter].letter }))), box));
  const body = h("div", { class: "migration-body" }, stall, track,
    h("ul", { class: "counters" }, ...tint, remote, disk, stalled, sent), h("div", { class: "charts" }, link, misses));
  card.append(h("header", {}, heading, chip, h("span", { class: "spring" }), cancel, recover, reclaim, play),
    h("div", { class: "progress", title: ESTIMATE_NOTE }, bar, left, clock), reason, body);
  cancel.addEventListener("click", () => actions.cancel(card.migration.vm));
  recover.addEventListener("click", () => actions.recover(card.migration.vm));
  reclaim.addEventListener("click", () => actions.reclaim(card.migration.vm));
  play.addEventListener("click", () => actions.play(card.migration.directory));
  Object.assign(card, { heading, chip, cancel, recover, reclaim, play, bar, left, clock, stall, counters, remote, disk, stalled, sent, track, link, misses, reason, body });
  return card;
}

function endedText(m) {
  const total = m.outcome === "completed" ? "" : `: ${m.reason ?? "no reason was given"}`;
  return `${m.outcome ?? "ended"}${total}`;
}

function pauseText({ reason, until_unix_ms, reclaim }) {
  const until = until_unix_ms == null ? "nothing more is tried by itself" : `the servers try to find each other until ${new Date(until_unix_ms).toLocaleTimeString()}`;
  const back = reclaim == null ? "" : reclaim.Ok == null ? `; the guest cannot be taken back: ${reclaim.Err}` : `; the guest may be taken back: ${reclaim.Ok}`;
  return `Paused, ${reason}; ${until}${back}.`;
}

function drawCard(card, m, isOpen) {
  card.migration = m;
  const stall = m.fault;
  const ended = m.phase === "ended";
  setText(card.heading, `${m.vm}: ${m.source} → ${m.destination}, ${m.scheme}`);
  const pause = ended ? null : m.pause;
  setText(card.chip, ended ? m.outcome ?? "ended" : pause ? "paused" : stall ? "the guest waits" : PHASES[m.phase] ?? m.phase);
  setAttribute(card.chip, "data-phase", ended ? m.outcome ?? "ended" : pause ? "paused" : stall ? "stalled" : m.phase);
  setAttribute(card, "class", `migration${ended ? " ended" : ""}`);
  // Stop-and-copy hands over at the end of its downtime, others that go without rounds at its beginning.
  const canReturn = ["preparing", "rounds"].includes(m.phase) || (m.phase === "down" && m.scheme === "stop-and-copy");
  setAttribute(card.cancel, "hidden", !canReturn);
  setAttribute(card.recover, "hidden", !pause);
  setAttribute(card.reclaim, "hidden", !pause);
  setAttribute(card.reclaim, "disabled", pause?.reclaim?.Ok == null);
  setAttribute(card.reclaim, "title", pause?.reclaim?.Ok == null ? "It may have run at the destination" : "Run the guest at its source again, from where it was suspended");
  setAttribute(card.play, "hidden", !m.directory);
  const { progress, left_ns } = estimates.of(m);
  card.bar.value = progress;
  const percentage = percent(progress, 0);
  const soFar = Object.values(m.arrived ?? {}).reduce((sum, number) => sum + number, 0);
  // Of a forward context's pages nobody knows beforehand how many there will be.
  const of = m.expected == null || soFar > m.expected ? `${count(soFar)} pages` : `${count(soFar)} of ${count(m.expected)} pages`;
  setText(card.left, ended ? percentage : pause ? `${percentage}, paused` : left_ns == null ? `${percentage}, time left not known yet` : left_ns === 0 ? `${percentage}, nothing left to come` : `${percentage}, about ${duration(left_ns)} left`);
  setText(card.clock, `${of}; model time ${duration(m.model_ns)}`);
  setText(card.reason, pause ? pauseText(pause) : ended && m.outcome !== "completed" ? endedText(m) : "");
  setAttribute(card.body, "hidden", !isOpen);
  if (isOpen) drawBody(card, m);
}

function drawBody(card, m) {
  const stall = m.fault;
  setText(card.stall, stall ? `The guest waits: page fault on ${stallText(stall, m.model_ns)}` : "");
  for (const box of card.counters) {
    const number = m.arrived?.[box.dataset.counter] ?? 0;
    setCounter(box, count(number), false);
    setAttribute(box, "hidden", number === 0 && box.dataset.counter === "round");
  }
  setCounter(card.remote, count(m.faults_remote), true);
  setCounter(card.disk, count(m.faults_disk), true);
  setCounter(card.stalled, duration(m.stall_ns), false);
  setAttribute(card.stalled, "data-active", Boolean(stall));
  setCounter(card.sent, bytes(m.bytes), false);
  // Once nothing is missing the forward context is gone, and its last position says nothing.
  const forward = ["down", "pushing"].includes(m.phase) ? m.forward_accesses : null;
  drawTrack(card.track, m.following_accesses, forward, { blocked: Boolean(stall) });
  drawChart(card.link, [{ class: "link", points: m.link ?? [], stepped: true, area: true }]);
  drawChart(card.misses, [{ class: "misses", points: m.misses ?? [] }]);
}

// Those that run first, then the newest of those that have ended.
export function drawMigrations(root, snapshot, actions) {
  const order = [...snapshot.migrations].sort((a, b) => Number(a.phase === "ended") - Number(b.phase === "ended") || b.id - a.id);
  // Of what is over one line is enough, but for the last; of many that run, too.
  const running = order.filter((m) => m.phase !== "ended");
  const open = new Set((running.length ? running.slice(0, MOST_OPEN) : order.slice(0, 1)).map((m) => m.id));
  keyed(root, order, (m) => m.id, () => makeCard(actions), (card, m) => {
    drawCard(card, m, open.has(m.id));
  });
}
