// A memory as a picture: a cell for each frame in LRU order, or a map of densities by page number.

import { h, keyed, prefersStill, s, setAttribute, setText } from "./dom.js";
import { CAUSES } from "./words.js";
import { count, percent, plural } from "./format.js";

// Up to so many frames a cell has its number and its letter; up to so many more, its number.
const LARGE = 64;
const MIDDLE = 256;

// How long a page is seen to be new, in milliseconds of the viewer.
const NEW_FOR = 1100;

// An animation of its own goes on where its cell is moved; one of the style sheet would begin anew.
function shine(element) {
  if (prefersStill()) return;
  const background = "color-mix(in srgb, var(--c) 50%, var(--ground))";
  element.animate([{ background, transform: "scale(1.16)" }, { background, offset: 0.35 }, {}], { duration: NEW_FOR, easing: "ease-out" });
}

// The cause that a cell shows: at the source how it left, at the destination how it came.
function mark(cell) {
  return cell.sent ?? cell.cause ?? "own";
}

function titleOf(cell, place, frames) {
  const cause = CAUSES[cell.cause ?? "own"] ?? CAUSES.own;
  const parts = [`Page${cell.page}`, `${count(place + 1)} of ${count(frames)}, least recent first`, cause.long];
  if (cell.dirty) parts.push("dirty");
  if (cell.sent) parts.push(`sent: ${CAUSES[cell.sent].long}`);
  if (cell.wanted) parts.push("waits for the link in the forward lane");
  return parts.join("; ");
}

function drawCells(root, memory, options) {
  const cells = memory.cells ?? [];
  const size = memory.frames <= LARGE ? "large" : memory.frames <= MIDDLE ? "middle" : "small";
  setAttribute(root, "class", `cells ${size} ${options.kind ?? ""}`);
  const known = root.knownCauses ?? new Map();
  const now = new Map();
  const items = cells.map((cell, place) => ({ ...cell, place, key: cell.page }));
  for (let place = cells.length; place < memory.frames; place += 1) items.push({ key: `free${place}`, free: true });
  keyed(root, items, (item) => item.key, (item) => item.free ? h("i", { class: "cell free" })
    : h("i", { class: "cell" }, h("b", { text: item.page }), h("em", {})), (element, item) => {
    if (item.free) return;
    const cause = mark(item);
    now.set(item.page, cause);
    if (root.knownCauses && known.get(item.page) !== cause && !item.sent && !options.still) shine(element);
    setAttribute(element, "data-cause", cause);
    setAttribute(element, "data-long", item.page > 999);
    setAttribute(element, "data-sent", item.sent ? true : null);
    setAttribute(element, "data-dirty", item.dirty ? true : null);
    setAttribute(element, "data-wanted", item.wanted ? true : null);
    setAttribute(element, "data-faulted", options.blocked === item.page ? true : null);
    setAttribute(element, "title", titleOf(item, item.place, memory.frames));
    setText(element.lastChild, CAUSES[cause]?.letter ?? "");
  });
  root.knownCauses = now;
}

const COLUMNS = 32;
const SIDE = 12;

function drawDensity(root, memory) {
  setAttribute(root, "class", "density");
  const buckets = memory.resident ?? [];
  const causes = Object.keys(CAUSES).filter((cause) => memory.by_cause?.[cause]?.some((share) => share > 0));
  const rows = Math.ceil(buckets.length / COLUMNS) || 1;
  const pictures = buckets.map((resident, bucket) => {
    const [x, y] = [(bucket % COLUMNS) * SIDE, Math.floor(bucket / COLUMNS) * SIDE];
    const parts = [s("rect", { class: "bucket", x, y, width: SIDE - 1, height: SIDE - 1 })];
    let bottom = y + SIDE - 1;
    const named = causes.reduce((sum, cause) => sum + (memory.by_cause[cause][bucket] ?? 0), 0);
    const shares = causes.map((cause) => [cause, memory.by_cause[cause][bucket] ?? 0]);
    if (resident > named) shares.unshift(["own", resident - named]);
    for (const [cause, share] of shares) {
      const height = Math.min(1, share) * (SIDE - 1);
      if (height <= 0) continue;
      bottom -= height;
      for (const layer of ["fill", "hatch"]) {
        parts.push(s("rect", { class: `${layer} ${cause}`, x, y: bottom.toFixed(2), width: SIDE - 1, height: height.toFixed(2) }));
      }
    }
    const from = Math.floor((bucket * memory.pages) / buckets.length);
    const to = Math.floor(((bucket + 1) * memory.pages) / buckets.length) - 1;
    return s("g", {}, s("title", { text: `pages ${count(from)} to ${count(to)}: ${percent(resident, 0)} in memory` }), ...parts);
  });
  const picture = s("svg", { viewBox: `0 0 ${COLUMNS * SIDE} ${rows * SIDE}`, "aria-hidden": "true" }, ...pictures);
  root.replaceChildren(picture, h("p", { class: "faint small", text: `${count(memory.pages)} pages in ${plural(buckets.length, "square")} by number, each filled as far as it is in memory` }));
  root.keyedChildren = null;
  root.knownCauses = null;
}

function summary(memory, name) {
  if (memory.kind === "density") {
    const all = memory.resident.reduce((sum, share) => sum + share, 0) / Math.max(1, memory.resident.length);
    return `${name}: ${percent(all, 0)} of ${count(memory.pages)} pages in memory`;
  }
  const causes = {};
  for (const cell of memory.cells ?? []) causes[mark(cell)] = (causes[mark(cell)] ?? 0) + 1;
  const parts = Object.entries(causes).map(([cause, number]) => `${number} ${CAUSES[cause]?.name ?? cause}`);
  return `${name}: ${memory.cells?.length ?? 0} of ${memory.frames} frames taken${parts.length ? `; ${parts.join(", ")}` : ""}`;
}

export function makeGrid() {
  return h("div", { class: "memory", role: "img" }, h("div", {}));
}

// `options`: name, kind ("source"|"destination"), blocked: the page of an open fault, still: nothing shines.
export function drawGrid(grid, memory, options = {}) {
  const root = grid.firstElementChild;
  setAttribute(grid, "hidden", memory ? null : true);
  if (!memory) return;
  if (memory.kind === "density") drawDensity(root, memory);
  else {
    if (root.firstElementChild?.tagName === "svg") root.replaceChildren();
    drawCells(root, memory, options);
  }
  setAttribute(grid, "aria-label", summary(memory, options.name ?? "Memory"));
}

export function makeLegend() {
  const entries = Object.entries(CAUSES).map(([cause, { letter, name, long }]) => h("li", { title: long },
    h("i", { class: "cell key", "data-cause": cause }, h("b", {}), h("em", { text: letter })), name));
  return h("ul", { class: "legend", "aria-label": "How a page came to be in memory" }, ...entries,
    h("li", { title: "written to since it was loaded" }, h("i", { class: "cell key", "data-cause": "own", "data-dirty": true }, h("b", {}), h("em", {})), "dirty"),
    h("li", { title: "still in source memory, and sent already" }, h("i", { class: "cell key", "data-cause": "background", "data-sent": true }, h("b", {}), h("em", { text: "B" })), "sent"));
}
