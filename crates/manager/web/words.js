// The words for an event, as the prompt and the paper's program print them.

import { exactDuration, plural } from "./format.js";

// Causes of a page's presence: the letter and the pattern say the same as the colour.
export const CAUSES = {
  own: { letter: "", name: "own", long: "there before, or brought in by the guest itself" },
  background: { letter: "B", name: "background", long: "pushed in the background" },
  forward: { letter: "F", name: "forward", long: "pushed for the forward context" },
  demand: { letter: "D", name: "demand", long: "asked for by a page fault" },
  disk: { letter: "K", name: "disk", long: "loaded from the disk" },
  round: { letter: "R", name: "round", long: "copied before the hand-over" },
};

// Lanes of the link, most urgent last.
export const LANES = ["round", "background", "forward", "demand"];

const LEFT_BY = { round: "before the hand-over", background: "background", forward: "forward context", demand: "on demand" };

export const CATEGORIES = {
  milestone: "milestones",
  fault: "faults",
  forward: "forward context",
  page: "pages",
  paging: "ordinary paging",
};

const CATEGORY = {
  fault_began: "fault", fault_ended: "fault", page_requested: "fault", page_not_resident: "fault",
  overwritten: "fault", forward_missed: "forward", joined_forward: "forward", page_dropped: "forward",
  page_withheld: "forward", page_withdrawn: "forward", head_start_completed: "milestone",
  page_sent: "page", page_arrived: "page", page_exempted: "page", missed: "paging",
};

export function category(event) {
  return CATEGORY[event.event] ?? "milestone";
}

const FATES = {
  installed: (page) => `${page} is in memory.`,
  ended_fault: (page) => `${page} is in memory and ends a fault.`,
  discarded: (page) => `${page} is discarded: memory is full.`,
  written_back: (page) => `${page} goes to the disk: memory is full.`,
  duplicate: (page) => `${page} is a duplicate.`,
  late: (page) => `${page} came after completion.`,
};

const ANSWERS = {
  in_source_memory: (page) => `PF Handle: ${page} is in source memory!`,
  on_its_way: (page) => `PF Handle: ${page} is in source memory! It is on its way already.`,
  not_resident: (page) => `PF Handle: ${page} is not in source memory!`,
};

const SAYINGS = {
  requested: () => "Migration requested.",
  round_began: (e) => `Round ${e.round} begins: ${e.pages} pages to send.`,
  throttled: (e) => `The guest is slowed down by ${e.percent} %: it writes too fast.`,
  suspended: (e) => `Suspended at the source: pc ${e.registers?.accesses}, ${plural(e.resident, "page")} in memory.`,
  handover: (e) => `Hand-over: the context (${e.bytes} bytes) leaves the source.`,
  context_sent: () => "The context has left the source.",
  forward_resumed: () => "Resumed at the source as the forward context.",
  head_start_completed: () => "The forward context has its head start.",
  context_arrived: () => "The context has arrived at the destination.",
  resumed: (e) => `Resumed at the destination: pc ${e.registers?.accesses}.`,
  completed: () => "Migration complete.",
  released: () => "Freed at the source.",
  returned: (e) => `Back at the source: ${e.reason}.`,
  lost: (e) => `Lost: ${e.reason}.`,
  measured: (e) => `The measured accesses are completed: pc ${e.registers?.accesses}.`,
  ended: () => "Nothing is left to count.",
  page_sent: (e, page) => `${page} is transferred (${LEFT_BY[e.cause] ?? e.cause}).`,
  page_arrived: (e, page) => (FATES[e.fate] ?? (() => `${page} has arrived.`))(page),
  page_requested: (e, page) => (ANSWERS[e.answer] ?? (() => `${page} is asked for.`))(page),
  page_not_resident: (_, page) => `${page} is on the disk, the source says.`,
  page_dropped: (_, page) => `${page} is dropped: the forward context evicted it.`,
  page_exempted: (_, page) => `${page} is not sent: the guest has overwritten it.`,
  page_withheld: (_, page) => `${page} is not pushed: the link has no room for it, or the disk is faster.`,
  page_withdrawn: (_, page) => `${page} is withdrawn: the forward context evicted it again.`,
  overwritten: (_, page) => `${page} is written as a whole, and not waited for.`,
  forward_missed: (_, page) => `Forward context: ${page} is loaded from disk.`,
  joined_forward: (_, page) => `Forward context: ${page} is needed soon.`,
  missed: (_, page) => `${page} is missing: ordinary paging.`,
  fault_began: (_, page) => `Page fault: ${page} is required.`,
  fault_ended: (e, page) => e.by === "disk"
    ? `PF Handle: ${page} is loaded from disk! (waited ${exactDuration(e.stalled_ns)})`
    : `PF Handle: ${page} has come from the source! (waited ${exactDuration(e.stalled_ns)})`,
};

// null for what is no news (progress reports), the bare name for what a later version may add.
export function describe(event) {
  if (event.event === "progress") return null;
  const say = SAYINGS[event.event];
  return say ? say(event, `Page${event.page}`) : `${String(event.event).replaceAll("_", " ")}.`;
}
