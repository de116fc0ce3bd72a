// A finished run, read from its files: what happened when, and which accesses each context made.
// All of it is pure: texts and objects in, an object out.

import { parseDuration, parseRate } from "./format.js";

const PAGE_MESSAGE_BYTES = 4096 + 16;

// The most accesses that are followed one by one; of more, only positions at their runs are known.
const MOST_ACCESSES = 2_000_000;

// The lines of events.jsonl. A line that is none is told by its number.
export function parseEvents(text, name = "events.jsonl") {
  const events = [];
  text.split("\n").forEach((line, index) => {
    if (!line.trim()) return;
    let event = null;
    try {
      event = JSON.parse(line);
    } catch { /* told below */ }
    if (!event || typeof event.at_ns !== "number" || typeof event.event !== "string") {
      throw new Error(`${name}, line ${index + 1}: this is no event`);
    }
    events.push(event);
  });
  return events;
}

// The source's memory in LRU order from before.txt (or any such table); null where there is none.
export function parseMemory(text) {
  const lines = (text ?? "").split("\n");
  const start = lines.findIndex((line) => line.startsWith("Memory, least recently used first"));
  if (start < 0) return null;
  const cells = [];
  for (const line of lines.slice(start + 1)) {
    if (!/^\s+[0-9]/.test(line)) break;
    for (const [, page, dirty] of line.matchAll(/([0-9]+)(\*?)/g)) {
      cells.push({ page: Number(page), dirty: dirty === "*", cause: "own" });
    }
  }
  return cells;
}

function first(events, name) {
  return events.find((event) => event.event === name);
}

function momentsOf(events) {
  const at = (name) => first(events, name)?.at_ns ?? null;
  const names = ["requested", "suspended", "handover", "context_sent", "forward_resumed",
    "context_arrived", "resumed", "completed", "released", "returned", "lost", "measured", "ended"];
  return Object.fromEntries(names.map((name) => [name, at(name)]));
}

// Faults of the migration, from when to when, and what ended each.
export function faultsOf(events) {
  const faults = [];
  for (const event of events) {
    if (event.event === "fault_began") {
      faults.push({ page: event.page, begins: event.at_ns, ends: null, by: null, asked: event.asked });
    } else if (event.event === "fault_ended") {
      const open = faults.findLast((fault) => fault.page === event.page && fault.ends == null);
      if (open) Object.assign(open, { ends: event.at_ns, by: event.by });
    }
  }
  return faults;
}

// Progress reports, one number per access; null where this side made none.
function reported(events, side) {
  const runs = events.filter((event) => event.event === "progress" && event.side === side);
  if (runs.length === 0) return null;
  const times = [];
  for (const { at_ns, step_ns, count } of runs) {
    for (let number = 0; number < count && times.length < MOST_ACCESSES; number += 1) {
      times.push(at_ns + number * step_ns);
    }
  }
  return times;
}

// Accesses where none are reported: one think time after another, and as long as each miss says.
function derived(events, side, from, until, think, load) {
  const waits = events.filter((event) => event.side === side && event.at_ns >= from
    && ["fault_began", "missed", "overwritten"].includes(event.event));
  const ends = new Map();
  for (const event of events) {
    if (event.event === "fault_ended") ends.set(`${event.page}:${event.at_ns - event.stalled_ns}`, event.at_ns);
  }
  const times = [];
  let next = 0;
  for (let at = side === "source" ? from + think : from; at <= until && times.length < MOST_ACCESSES;) {
    const wait = waits[next];
    let done = at;
    if (wait && wait.at_ns <= at) {
      next += 1;
      if (wait.event === "fault_began") done = ends.get(`${wait.page}:${wait.at_ns}`) ?? Infinity;
      else done = wait.event === "missed" ? wait.at_ns + load : wait.at_ns;
    }
    if (done > until) break;
    times.push(done);
    at = done + think;
  }
  return times;
}

// When each context completed its accesses, and how that is known.
function contextsOf(run) {
  const { events, moments, end } = run;
  const following = moments.resumed == null ? [] : reported(events, "destination");
  const forward = moments.forward_resumed == null ? [] : reported(events, "source") ?? [];
  const steady = run.think != null;
  const until = moments.measured ?? end;
  return {
    forward,
    following: following ?? (steady ? derived(events, "destination", moments.resumed, until, run.think, run.load) : []),
    // The guest at the source until it is suspended, which matters where rounds precede.
    before: steady && moments.suspended > 0
      ? derived(events, "source", moments.requested ?? 0, moments.suspended - 1, run.think, run.load) : [],
    known: following ? "reported" : steady ? "derived" : "unknown",
  };
}

function transmissionsOf(events, bytesPerSecond) {
  const sent = events.filter((event) => event.event === "page_sent");
  return sent.map((event, index) => {
    const full = bytesPerSecond ? (PAGE_MESSAGE_BYTES * 1e9) / bytesPerSecond : 0;
    const next = sent[index + 1]?.at_ns ?? Infinity;
    return { page: event.page, cause: event.cause, begins: event.at_ns, ends: Math.min(event.at_ns + full, Math.max(next, event.at_ns)) };
  });
}

// Arrivals by page, each with cause and fate.
function arrivalsOf(events) {
  const arrivals = new Map();
  for (const event of events) {
    if (event.event !== "page_arrived") continue;
    const list = arrivals.get(event.page) ?? [];
    list.push({ at: event.at_ns, cause: event.cause, fate: event.fate });
    arrivals.set(event.page, list);
  }
  return arrivals;
}

// Without before.txt: what is known to have been there, pushed or dropped, in the order of the push.
function guessedMemory(events) {
  const pages = new Set();
  const since = new Set();
  for (const event of events) {
    if (event.event === "forward_missed") since.add(event.page);
    const pushed = event.event === "page_sent" && !since.has(event.page);
    if (pushed || event.event === "page_dropped") pages.add(event.page);
  }
  return [...pages].map((page) => ({ page, dirty: false, cause: "own" }));
}

// What is not known of it, in words.
function notesOf(run) {
  const notes = [];
  if (!run.hasBefore) notes.push("The source's memory before the migration is not in the files that were read: it is put together from the pages that were sent or dropped, in that order.");
  if (run.hasBefore && !run.isWholeBefore) notes.push("before.txt lists the beginning of this large memory: the rest is put together from the pages that were sent or dropped.");
  if (!run.accesses) notes.push("The run's accesses are not at hand, and hits are no events: cells change places by installs alone, so the LRU order, and which page is evicted, may differ from the guest's.");
  if (run.contexts.known === "derived") notes.push("Positions are worked out from the think time, the faults and the misses: this scheme's runs report none.");
  if (run.contexts.known === "unknown" && run.moments.resumed != null) notes.push("How far the guest got between faults is not told by the events of this run.");
  return notes;
}

// `files.before` is before.txt, `files.accesses` { first, pages: [..], writes: [0|1, ..]|absent }: both optional.
export function readRun(result, events, files = {}) {
  const scenario = result.scenario ?? {};
  const guest = scenario.guest ?? {};
  const moments = momentsOf(events);
  const before = parseMemory(files.before);
  const think = parseDuration(guest.think_time);
  const run = {
    name: result.run ?? files.name ?? "run",
    result, events, moments, think,
    scheme: result.scheme, seed: result.seed,
    source: result.source_server ?? "source", destination: result.destination_server ?? "destination",
    frames: guest.frames ?? before?.length ?? 0,
    pages: guest.pages ?? 1 + Math.max(0, ...(before ?? []).map((cell) => cell.page)),
    load: parseDuration(scenario.disk?.latency_source) ?? 0,
    bandwidth: parseRate(scenario.link?.bandwidth),
    end: events.reduce((latest, event) => Math.max(latest, event.at_ns), 0),
    faults: faultsOf(events),
    arrivals: arrivalsOf(events),
    hasBefore: before != null,
    isWholeBefore: !/^\s+and [0-9]+ more/m.test(files.before ?? ""),
    before: before ?? guessedMemory(events),
    accesses: files.accesses?.pages?.length ? files.accesses : null,
  };
  run.frames ||= run.before.length;
  if (before && !run.isWholeBefore) {
    // Of a large memory before.txt has the beginning: the rest is more recent.
    const listed = new Set(before.map((cell) => cell.page));
    run.before = before.concat(guessedMemory(events).filter((cell) => !listed.has(cell.page)));
  }
  run.sent = transmissionsOf(events, run.bandwidth);
  run.contexts = contextsOf(run);
  run.notes = notesOf(run);
  // Until the migration is through: what most views show first.
  const through = [moments.released, moments.completed, result.last_fault_ns, moments.returned, moments.lost, moments.resumed];
  run.focus = Math.min(run.end, Math.max(1, ...through.filter((at) => at != null)) * 1.03) || 1;
  return run;
}

// How many of the ascending `times` are at or before `at`.
export function upTo(times, at) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}
