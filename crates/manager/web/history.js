// Numbers of a run over time, for charts. Pure.

import { upTo } from "./run.js";

const BINS = 120;
const PAGE_MESSAGE_BYTES = 4112;

// Bytes per second on the link in equal spans of `range`; each message counts where it is sent.
export function linkUse(run, range) {
  const width = Math.max(1, (range[1] - range[0]) / BINS);
  const sums = new Array(BINS).fill(0);
  const add = (from, to, bytes) => {
    const span = Math.max(1, to - from);
    const first = Math.max(0, Math.floor((from - range[0]) / width));
    for (let bin = first; bin < BINS && range[0] + bin * width < from + span; bin += 1) {
      const overlap = Math.min(from + span, range[0] + (bin + 1) * width) - Math.max(from, range[0] + bin * width);
      if (overlap > 0) sums[bin] += (bytes * overlap) / span;
    }
  };
  const { handover, context_sent } = run.moments;
  const context = run.events.find((event) => event.event === "handover");
  if (handover != null && context_sent != null) add(handover, context_sent, context.bytes);
  for (const { begins, ends } of run.sent) add(begins, ends, PAGE_MESSAGE_BYTES);
  return sums.map((bytes, bin) => [range[0] + (bin + 0.5) * width, (bytes * 1e9) / width]);
}

// The guest's miss ratio since its start: at each of its misses, and often enough between them.
export function missRatio(run, range) {
  const registers = run.events.find((event) => event.event === "suspended")?.registers;
  const times = run.contexts.following;
  if (!registers || !times.length) return [];
  let misses = registers.misses;
  const points = [];
  const put = (at) => {
    const accesses = registers.accesses + upTo(times, at);
    if (accesses > 0) points.push([at, misses / accesses]);
  };
  const isMiss = (event) => event.side === "destination" && ["missed", "fault_began"].includes(event.event);
  const missed = run.events.filter((event) => isMiss(event) && event.at_ns <= range[1]).map((event) => event.at_ns);
  const { resumed } = run.moments;
  const between = Array.from({ length: BINS + 1 }, (_, bin) => resumed + (bin / BINS) * (range[1] - resumed));
  let next = 0;
  for (const at of resumed < range[1] ? between : []) {
    for (; missed[next] <= at; next += 1) {
      misses += 1;
      put(missed[next]);
    }
    put(at);
  }
  return points;
}

// Stall up to `at`, the open fault included.
export function stallAt(run, at) {
  let sum = 0;
  for (const { begins, ends } of run.faults) {
    if (begins < at) sum += Math.min(at, ends ?? at) - begins;
  }
  return sum;
}

// Accesses of both contexts since the suspension; null where they are not known or do not run.
export function positionsAt(run, at) {
  const { contexts, moments } = run;
  const resumed = moments.resumed != null && at >= moments.resumed;
  const ahead = moments.forward_resumed != null && at >= moments.forward_resumed && at < (moments.released ?? Infinity);
  return {
    following: contexts.known === "unknown" || (!resumed && !ahead) ? null : upTo(contexts.following, at),
    forward: ahead ? upTo(contexts.forward, at) : null,
  };
}
