// A memory of frames in LRU order, as the guest's pager has it.

export class Memory {
  constructor(frames) {
    this.frames = frames;
    // Insertion order is recency.
    this.recent = new Map();
    // What was put at the least recent end, the least recent last; entries that have left are skipped.
    this.low = [];
    this.lowCells = new Map();
  }

  static of(frames, cells) {
    const memory = new Memory(frames);
    for (const cell of cells) memory.recent.set(cell.page, { ...cell });
    return memory;
  }

  get size() {
    return this.recent.size + this.lowCells.size;
  }

  cell(page) {
    return this.recent.get(page) ?? this.lowCells.get(page);
  }

  // The page is used; false where it is not here.
  touch(page, write = false) {
    const cell = this.cell(page);
    if (!cell) return false;
    if (write) cell.dirty = true;
    this.lowCells.delete(page);
    this.recent.delete(page);
    this.recent.set(page, cell);
    return true;
  }

  // Puts a page at the most recent end; gives the page that had to leave for it, if one had.
  installRecent(cell) {
    if (this.cell(cell.page)) {
      this.touch(cell.page, cell.dirty);
      return null;
    }
    const victim = this.size >= this.frames ? this.evict() : null;
    this.recent.set(cell.page, cell);
    return victim;
  }

  installLeast(cell) {
    if (this.cell(cell.page) || this.size >= this.frames) return;
    this.low.push(cell.page);
    this.lowCells.set(cell.page, cell);
  }

  evict() {
    while (this.low.length) {
      const page = this.low.pop();
      if (this.lowCells.delete(page)) return page;
    }
    const first = this.recent.keys().next();
    if (first.done) return null;
    this.recent.delete(first.value);
    return first.value;
  }

  remove(page) {
    this.recent.delete(page);
    this.lowCells.delete(page);
  }

  // What is here, in that order; pages that are not named leave.
  keepInOrder(pages) {
    const kept = pages.filter((page) => this.cell(page)).map((page) => [page, this.cell(page)]);
    this.low = [];
    this.lowCells = new Map();
    this.recent = new Map(kept);
  }

  // From least to most recently used.
  cells() {
    const seen = new Set();
    const first = [];
    for (let at = this.low.length - 1; at >= 0; at -= 1) {
      const page = this.low[at];
      if (this.lowCells.has(page) && !seen.has(page)) {
        seen.add(page);
        first.push(this.lowCells.get(page));
      }
    }
    return first.concat([...this.recent.values()]);
  }

  pages() {
    return this.cells().map((cell) => cell.page);
  }

  clone() {
    const copy = new Memory(this.frames);
    for (const [page, cell] of this.recent) copy.recent.set(page, { ...cell });
    copy.low = [...this.low];
    for (const [page, cell] of this.lowCells) copy.lowCells.set(page, { ...cell });
    return copy;
  }
}

// Shares of each of `buckets` ranges of page numbers that are in memory, by cause.
export function density(cells, pages, buckets = 256) {
  const number = Math.min(buckets, Math.max(1, pages));
  const resident = new Array(number).fill(0);
  const by_cause = {};
  const room = (bucket) => Math.floor(((bucket + 1) * pages) / number) - Math.floor((bucket * pages) / number);
  for (const { page, cause } of cells) {
    const bucket = Math.min(number - 1, Math.floor((page * number) / pages));
    const share = 1 / Math.max(1, room(bucket));
    resident[bucket] += share;
    (by_cause[cause] ??= new Array(number).fill(0))[bucket] += share;
  }
  return { kind: "density", pages, frames: cells.length, resident, by_cause };
}

// The most frames that are drawn one by one.
export const MOST_CELLS = 1024;

// What a grid shows of a memory.
export function view(memory, pages) {
  const cells = memory.cells();
  return memory.frames <= MOST_CELLS ? { kind: "cells", frames: memory.frames, cells }
    : { ...density(cells, pages), frames: memory.frames, taken: cells.length };
}
