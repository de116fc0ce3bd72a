// Why a fault of one run does not happen in another of the same guest: what became of its page there. Pure.

import { duration } from "./format.js";
import { upTo } from "./run.js";
import { CAUSES } from "./words.js";

// For each fault of `run`: when the same access came in `other`, how the page got there, and words for it.
export function explain(run, other, most = 200) {
  return run.faults.slice(0, most).map((fault) => {
    // The fault is of the access after those that were completed before it.
    const access = run.contexts.known === "unknown" ? null : upTo(run.contexts.following, fault.begins - 1);
    const needed = access == null || other.contexts.known === "unknown" ? null : other.contexts.following[access] ?? null;
    const there = other.faults.find((candidate) => candidate.page === fault.page
      && (needed == null || Math.abs((candidate.ends ?? Infinity) - needed) < 1 || candidate.begins <= needed && (candidate.ends ?? Infinity) >= needed));
    const arrival = (other.arrivals.get(fault.page) ?? []).find(({ fate, at }) => fate === "installed" && (needed == null || at <= needed));
    const loaded = other.events.find((event) => event.event === "forward_missed" && event.page === fault.page);
    return { fault, access, spared: !there, needed, at: there ? null : needed ?? arrival?.at ?? null, text: words({ fault, there, arrival, loaded, needed, run, other }) };
  });
}

function words({ fault, there, arrival, loaded, needed, run, other }) {
  const page = `Page${fault.page}`;
  const waited = duration((fault.ends ?? run.end) - fault.begins);
  const from = fault.by === "disk" ? "for the disk" : "for the source";
  const head = `${page}: under ${run.scheme} the guest waits ${waited} ${from}, from ${duration(fault.begins)} on.`;
  if (there) {
    return `${head} Under ${other.scheme} it waits, too: ${duration((there.ends ?? other.end) - there.begins)}.`;
  }
  if (needed != null && other.moments.completed != null && needed > other.moments.completed) {
    return `${head} Under ${other.scheme} the same access comes at ${duration(needed)}, after the migration: if it misses there, that is ordinary paging.`;
  }
  if (arrival && needed != null) {
    const early = `Under ${other.scheme} the same access comes at ${duration(needed)}, and the page has been there since ${duration(arrival.at)}, ${duration(needed - arrival.at)} early`;
    if (arrival.cause === "forward") {
      const how = loaded && loaded.at_ns <= arrival.at ? `the forward context had loaded it at ${duration(loaded.at_ns)} and` : "the forward context had touched it and";
      return `${head} ${early}: ${how} it was pushed ahead.`;
    }
    return `${head} ${early} (${CAUSES[arrival.cause]?.long ?? arrival.cause}).`;
  }
  if (arrival) return `${head} Under ${other.scheme} it arrived at ${duration(arrival.at)} (${CAUSES[arrival.cause]?.long ?? arrival.cause}).`;
  return `${head} Under ${other.scheme} there is no fault on it.`;
}
