// Small pictures of numbers: lines over model time, and where both contexts are.

import { h, s, setAttribute, setText } from "./dom.js";
import { count, duration, niceStep } from "./format.js";

// Where its place has no width yet.
const USUAL_WIDTH = 360;
const HEIGHT = 104;
const LEFT = 52;
const RIGHT = 8;
const TOP = 8;
const BOTTOM = 18;

// A line chart. `form` writes a value, `ceiling` is the least top of the scale, `fixed` its top for good.
export function makeChart(title, form, { ceiling = 0, fixed = null } = {}) {
  const picture = s("svg", { class: "chart", height: HEIGHT, role: "img" });
  const now = h("b", { class: "tabular" });
  const figure = h("figure", {}, h("figcaption", {}, `${title} `, now), picture);
  Object.assign(figure, { picture, now, subject: title, form, ceiling, fixed });
  return figure;
}

function path(points) {
  return points.map(([x, y], index) => `${index ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

// `series`: [{ class, points: [[model_ns, value]], stepped }]; `range`: the time shown; `at`: the playhead.
export function drawChart(figure, series, { range = null, at = null } = {}) {
  const { picture, form } = figure;
  const width = picture.clientWidth || USUAL_WIDTH;
  setAttribute(picture, "viewBox", `0 0 ${width} ${HEIGHT}`);
  const all = series.flatMap((line) => line.points).filter((point) => point[1] != null);
  const [from, to] = range ?? [all[0]?.[0] ?? 0, Math.max(all.at(-1)?.[0] ?? 1, (all[0]?.[0] ?? 0) + 1)];
  // One by one: a call with as many arguments as there are points may be too much.
  const top = figure.fixed ?? all.reduce((most, point) => Math.max(most, point[1]), figure.ceiling || 0) * 1.08;
  const x = (time) => LEFT + ((time - from) / Math.max(1, to - from)) * (width - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (Math.min(value, top) / (top || 1)) * (HEIGHT - TOP - BOTTOM);
  const parts = [];
  const step = niceStep(top || 1, 3);
  for (let value = 0; value <= (top || 1) + step / 1000; value += step) {
    parts.push(s("line", { class: "gridline", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }),
      s("text", { class: "tick", x: LEFT - 5, y: y(value) + 3.5, "text-anchor": "end", text: form(value) }));
  }
  for (const [time, anchor] of range || all.length ? [[from, "start"], [to, "end"]] : []) {
    parts.push(s("text", { class: "tick", x: x(time), y: HEIGHT - 4, "text-anchor": anchor, text: duration(time) }));
  }
  for (const line of series) {
    const shown = thinned(line.points.filter((point) => point[1] != null && point[0] >= from && point[0] <= to));
    if (!shown.length) continue;
    const points = line.stepped
      ? shown.flatMap(([time, value], index) => index ? [[x(time), y(shown[index - 1][1])], [x(time), y(value)]] : [[x(time), y(value)]])
      : shown.map(([time, value]) => [x(time), y(value)]);
    if (line.area) parts.push(s("path", { class: `area ${line.class}`, d: `${path(points)}L${points.at(-1)[0].toFixed(1)} ${y(0)}L${points[0][0].toFixed(1)} ${y(0)}Z` }));
    parts.push(s("path", { class: `curve ${line.class}`, d: path(points) }));
  }
  if (at != null) parts.push(s("line", { class: "playhead", x1: x(Math.min(at, to)), x2: x(Math.min(at, to)), y1: TOP, y2: HEIGHT - BOTTOM }));
  if (!all.length) parts.push(s("text", { class: "tick", x: (LEFT + width) / 2, y: HEIGHT / 2, "text-anchor": "middle", text: "nothing yet" }));
  picture.replaceChildren(...parts);
  const last = series[0]?.points.findLast((point) => point[1] != null && (at == null || point[0] <= at));
  setText(figure.now, last ? form(last[1]) : "-");
  setAttribute(picture, "aria-label", `${figure.subject}: ${last ? form(last[1]) : "nothing yet"}`);
}

const MOST_POINTS = 700;

// Of very many points, so many evenly chosen ones.
function thinned(points) {
  if (points.length <= MOST_POINTS) return points;
  const every = points.length / MOST_POINTS;
  const kept = Array.from({ length: MOST_POINTS }, (_, index) => points[Math.floor(index * every)]);
  return [...kept, points.at(-1)];
}

const TRACK_HEIGHT = 58;

// Room at both ends, for the names of what stands there.
const TRACK_MARGIN = 116;

// Both contexts on the guest's path, a tick for each access, the lead between them.
export function makeTrack() {
  const picture = s("svg", { class: "track", height: TRACK_HEIGHT, role: "img" });
  picture.span = 24;
  return picture;
}

export function drawTrack(picture, following, forward, { blocked = false, what = "the guest" } = {}) {
  setAttribute(picture, "hidden", following == null && forward == null ? true : null);
  if (following == null && forward == null) return;
  const width = picture.clientWidth || USUAL_WIDTH;
  setAttribute(picture, "viewBox", `0 0 ${width} ${TRACK_HEIGHT}`);
  // Before the guest runs at the destination there is no lead to be seen.
  const here = following ?? forward;
  const ahead = forward ?? here;
  const lead = ahead - here;
  // The window grows with the lead and does not shrink again, so that the picture is calm.
  while (Math.abs(lead) * 1.5 > picture.span) picture.span *= 2;
  const span = picture.span;
  const left = Math.max(0, Math.min(here, ahead) - span * 0.25);
  const x = (access) => TRACK_MARGIN + ((access - left) / span) * (width - 2 * TRACK_MARGIN);
  const middle = 30;
  const parts = [s("line", { class: "axis", x1: 0, x2: width, y1: middle, y2: middle })];
  const step = Math.max(1, niceStep(span, Math.max(2, width / 70)));
  const small = span <= 48 ? 1 : step;
  for (let access = Math.max(0, Math.ceil((left - (span * TRACK_MARGIN) / width) / small) * small); x(access) <= width; access += small) {
    const named = access % step === 0;
    parts.push(s("line", { class: "axis", x1: x(access), x2: x(access), y1: middle - (named ? 5 : 3), y2: middle + (named ? 5 : 3) }));
    if (named) parts.push(s("text", { class: "tick", x: x(access), y: TRACK_HEIGHT - 6, "text-anchor": "middle", text: count(access) }));
  }
  if (forward != null) {
    const [from, to] = [x(Math.min(here, ahead)), x(Math.max(here, ahead))];
    parts.push(s("rect", { class: "lead", x: from, y: middle - 4, width: Math.max(0, to - from), height: 8 }),
      s("path", { class: "forward mark", d: `M${x(ahead)} ${middle - 11}l9 11l-9 11l-9 -11Z` }),
      s("text", { class: "tick", x: Math.min(width - 4, x(ahead) + 13), y: middle - 14, "text-anchor": x(ahead) > width - 170 ? "end" : "start", text: following == null ? "forward context" : `forward context, lead ${count(lead)}` }));
  }
  if (following != null) {
    parts.push(s("circle", { class: `following mark${blocked ? " blocked" : ""}`, cx: x(here), cy: middle, r: 9 }),
      s("text", { class: "tick", x: x(here) - 12, y: middle - 14, "text-anchor": "end", text: blocked ? `${what} (waits)` : what }));
  }
  picture.replaceChildren(...parts);
  const said = [following == null ? null : `${what} at access ${count(here)}`, forward == null ? null : `the forward context at access ${count(ahead)}`];
  setAttribute(picture, "aria-label", said.filter(Boolean).join(", "));
}
