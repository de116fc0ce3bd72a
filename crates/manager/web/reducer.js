// What both hosts hold at each instant of a run: events in, states out. Pure.

import { Memory } from "./memory.js";

// Between two states that are kept lie at least so many steps.
const KEEP_EVERY = 400;

// So many states are kept at most, and fewer of a large guest: so many pages in all of them.
const MOST_KEPT = 60;
const MOST_PAGES_KEPT = 500_000;

// Events and accesses in order. An access comes after what was delivered at its instant.
export function stepsOf(run) {
  const events = run.events.filter((event) => event.event !== "progress")
    .map((event) => ({ at: event.at_ns, event }));
  const touches = touchesOf(run);
  const steps = [];
  let [e, t] = [0, 0];
  while (e < events.length || t < touches.length) {
    const takesEvent = t >= touches.length || (e < events.length && events[e].at <= touches[t].at);
    steps.push(takesEvent ? events[e++] : touches[t++]);
  }
  return steps;
}

function touchesOf(run) {
  if (!run.accesses) return [];
  const { first, pages, writes } = run.accesses;
  const { forward, following, before } = run.contexts;
  const at_suspend = run.events.find((event) => event.event === "suspended")?.registers?.accesses ?? first;
  const at_request = at_suspend - before.length;
  const touch = (side, start) => (at, index) => {
    const number = start + index - first;
    const page = pages[number];
    return page == null ? null : { at, side, page, write: Boolean(writes?.[number]) };
  };
  const all = [
    ...before.map(touch("source", at_request)),
    ...forward.map(touch("source", at_suspend)),
    ...following.map(touch("destination", at_suspend)),
  ].filter(Boolean);
  const order = { source: 0, destination: 1 };
  return all.sort((a, b) => a.at - b.at || order[a.side] - order[b.side]);
}

export function initialState(run) {
  return {
    at: 0,
    source: { memory: Memory.of(Math.max(run.frames, run.before.length), run.before), guest: "running", sent: new Set(), loading: null },
    destination: { memory: new Memory(run.frames), staged: new Map(), guest: "none", held: new Map(), loading: null },
    residency: [],
    fault: null,
    faults: { remote: 0, disk: 0 },
    stall: 0,
    arrived: { round: 0, background: 0, forward: 0, demand: 0 },
    sent: { round: 0, background: 0, forward: 0, demand: 0 },
    on_link: new Map(),
    misses: 0,
    last: null,
  };
}

function copyOf(state) {
  return {
    ...state,
    source: { ...state.source, memory: state.source.memory.clone(), sent: new Set(state.source.sent) },
    destination: { ...state.destination, memory: state.destination.memory.clone(), staged: new Map(state.destination.staged), held: new Map(state.destination.held) },
    faults: { ...state.faults }, arrived: { ...state.arrived }, sent: { ...state.sent },
    on_link: new Map(state.on_link),
  };
}

// A load that was under way is over: the page is the most recent.
function settle(place, until) {
  const loading = place.loading;
  if (!loading || loading.at > until) return;
  place.memory.installRecent({ page: loading.page, dirty: false, cause: loading.cause, since: loading.at });
  place.loading = null;
}

const HANDLERS = {
  suspended(state, event, run) {
    state.source.guest = "suspended";
    state.residency = state.source.memory.pages();
    state.destination.memory = new Memory(run.frames);
  },
  returned(state, event, run) {
    state.source.guest = "running";
    state.destination = { ...state.destination, memory: new Memory(run.frames), staged: new Map(), guest: "none" };
    state.fault = null;
  },
  forward_resumed(state) { state.source.guest = "forward"; },
  forward_missed(state, event, run) {
    state.source.loading = { page: event.page, at: event.at_ns + run.load, cause: "disk" };
    settle(state.source, event.at_ns);
  },
  joined_forward(state, event) {
    settle(state.source, event.at_ns);
    const cell = state.source.memory.cell(event.page);
    if (cell) cell.wanted = true;
  },
  page_dropped(state, event) { state.source.memory.remove(event.page); },
  page_sent(state, event) {
    state.sent[event.cause] += 1;
    state.source.sent.add(event.page);
    state.on_link.set(event.page, event.cause);
    const cell = state.source.memory.cell(event.page);
    if (cell) Object.assign(cell, { sent: event.cause, wanted: false });
  },
  released(state) { Object.assign(state.source, { guest: "gone", memory: new Memory(state.source.memory.frames) }); },
  context_arrived(state, event, run) {
    state.destination.guest = "waiting";
    // What rounds copied is the memory now, in the order of the residency list.
    const memory = new Memory(run.frames);
    for (const page of state.residency) {
      const cell = state.destination.staged.get(page);
      if (cell) memory.installRecent(cell);
    }
    state.destination.memory = memory;
    state.destination.staged = new Map();
  },
  resumed(state) { state.destination.guest = "running"; },
  page_arrived(state, event) {
    state.arrived[event.cause] += 1;
    state.on_link.delete(event.page);
    const cell = { page: event.page, dirty: false, cause: event.cause, since: event.at_ns };
    const { destination } = state;
    if (event.fate === "ended_fault") destination.held.set(event.page, event.cause);
    if (event.fate !== "installed") return;
    if (event.cause === "round") destination.staged.set(event.page, cell);
    else if (event.cause === "background") destination.memory.installLeast(cell);
    else destination.memory.installRecent(cell);
  },
  fault_began(state, event) {
    state.fault = { page: event.page, since: event.at_ns, asked: event.asked };
    state.misses += 1;
  },
  fault_ended(state, event) {
    const { destination } = state;
    const cause = event.by === "disk" ? "disk" : destination.held.get(event.page) ?? "demand";
    destination.held.delete(event.page);
    destination.memory.installRecent({ page: event.page, dirty: false, cause, since: event.at_ns });
    state.faults[event.by] += 1;
    state.stall += event.stalled_ns;
    state.fault = null;
  },
  overwritten(state, event) {
    state.destination.memory.installRecent({ page: event.page, dirty: true, cause: "own", since: event.at_ns });
  },
  missed(state, event, run) {
    const place = state[event.side];
    state.misses += 1;
    place.loading = { page: event.page, at: event.at_ns + run.load, cause: "own" };
    settle(place, event.at_ns);
  },
};

export function apply(state, step, run) {
  state.at = step.at;
  settle(state.source, step.at);
  settle(state.destination, step.at);
  if (step.event) {
    HANDLERS[step.event.event]?.(state, step.event, run);
    state.last = step.event;
  } else {
    state[step.side].memory.touch(step.page, step.write);
  }
  return state;
}

// Goes back and forth in a run. `index` is the number of steps that are done.
export class Player {
  constructor(run) {
    this.run = run;
    this.steps = stepsOf(run);
    const keeps = Math.max(3, Math.min(MOST_KEPT, MOST_PAGES_KEPT / Math.max(1, run.frames)));
    this.every = Math.max(KEEP_EVERY, Math.ceil(this.steps.length / keeps));
    this.kept = [initialState(run)];
    this.index = 0;
    this.state = copyOf(this.kept[0]);
  }

  seek(index) {
    const wanted = Math.max(0, Math.min(this.steps.length, index));
    const keeper = Math.min(this.kept.length - 1, Math.floor(wanted / this.every));
    if (wanted < this.index || keeper * this.every > this.index) {
      this.state = copyOf(this.kept[keeper]);
      this.index = keeper * this.every;
    }
    while (this.index < wanted) {
      apply(this.state, this.steps[this.index], this.run);
      this.index += 1;
      if (this.index === this.kept.length * this.every) this.kept.push(copyOf(this.state));
    }
    return this.state;
  }

  // All that has happened up to and at that instant.
  indexAt(at) {
    let [low, high] = [0, this.steps.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.steps[middle].at <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  seekTime(at) {
    const state = this.seek(this.indexAt(at));
    settle(state.source, at);
    settle(state.destination, at);
    return state;
  }

  // The number of steps up to and with the next event that `isShown`, or the one before; or null.
  neighbour(index, direction, isShown) {
    const start = direction > 0 ? index : index - 2;
    for (let at = start; at >= 0 && at < this.steps.length; at += direction) {
      const { event } = this.steps[at];
      if (event && isShown(event)) return at + 1;
    }
    return null;
  }
}
