// A run over time: where the guest is, what blocks it, the forward context, and the pages on the link.

import { h, s, setAttribute } from "./dom.js";
import { duration, niceStep } from "./format.js";
import { LANES } from "./words.js";

const LABELS = 112;
const RIGHT = 14;
const GUEST = 26;
const LANE = 11;

// Lanes that carried something, most urgent first.
function lanesOf(run) {
  return [...LANES].reverse().filter((cause) => run.sent.some((sent) => sent.cause === cause));
}

// Spans that touch on the paper are one: a million pages are no more marks than the paper has columns.
function merged(spans, x) {
  const marks = [];
  for (const span of spans) {
    const [from, to] = [x(span.begins), x(span.ends)];
    const last = marks.at(-1);
    if (last && from - last.to < 0.4 && spans.length > 400) {
      last.to = Math.max(last.to, to);
      last.many += 1;
    } else marks.push({ from, to, many: 1, span });
  }
  return marks;
}

export class Timeline {
  // `onseek(ns)` is called when the reader points at an instant.
  constructor({ onseek, label }) {
    this.picture = s("svg", { class: "timeline", role: "img" });
    this.element = h("div", { class: "timeline-box" }, this.picture);
    this.label = label;
    this.range = [0, 1];
    this.at = 0;
    const seek = (event) => {
      const box = this.picture.getBoundingClientRect();
      const share = (event.clientX - box.left - LABELS) / Math.max(1, box.width - LABELS - RIGHT);
      onseek(this.range[0] + Math.max(0, Math.min(1, share)) * (this.range[1] - this.range[0]));
    };
    this.picture.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.picture.setPointerCapture(event.pointerId);
      seek(event);
    });
    this.picture.addEventListener("pointermove", (event) => {
      if (this.picture.hasPointerCapture(event.pointerId)) seek(event);
    });
    new ResizeObserver(() => this.redraw()).observe(this.element);
  }

  // `ghosts`: faults of another run, to be seen where they do not happen here.
  show(run, range, ghosts = []) {
    Object.assign(this, { run, range, ghosts });
    this.redraw();
  }

  x(at) {
    const inside = Math.max(this.range[0], Math.min(this.range[1], at));
    return LABELS + ((inside - this.range[0]) / Math.max(1, this.range[1] - this.range[0])) * (this.width - LABELS - RIGHT);
  }

  redraw() {
    if (!this.run) return;
    this.width = Math.max(320, this.element.clientWidth || 0);
    const { run } = this;
    const lanes = lanesOf(run);
    const hasForward = run.moments.forward_resumed != null;
    let top = 20;
    const parts = [];
    const guestTop = top;
    top += GUEST + 8;
    const forwardTop = top;
    if (hasForward) top += 18;
    const lanesTop = top;
    top += lanes.length * (LANE + 4) + 6;
    this.height = top + 20;
    parts.push(...this.axis(lanesTop, top), ...this.guest(guestTop));
    if (hasForward) parts.push(...this.forward(forwardTop));
    lanes.forEach((cause, index) => parts.push(...this.lane(cause, lanesTop + index * (LANE + 4))));
    parts.push(...this.faults(guestTop), ...this.drawGhosts(guestTop));
    this.head = s("g", { class: "head" }, s("line", { class: "playhead", y1: 12, y2: top }), s("path", { class: "playhead-knob", d: "M-6 4h12v7l-6 6l-6 -6Z" }));
    parts.push(this.head);
    setAttribute(this.picture, "viewBox", `0 0 ${this.width} ${this.height}`);
    setAttribute(this.picture, "height", this.height);
    setAttribute(this.picture, "aria-label", `${this.label ?? run.scheme}: ${run.faults.length} page faults, stall ${duration(run.result.stall_time_ns)}`);
    this.picture.replaceChildren(...parts);
    this.moveTo(this.at);
  }

  moveTo(at) {
    this.at = at;
    if (!this.head) return;
    this.head.setAttribute("transform", `translate(${this.x(at).toFixed(1)} 0)`);
    setAttribute(this.head, "class", at > this.range[1] ? "head beyond" : "head");
  }

  name(text, y) {
    return s("text", { class: "label", x: LABELS - 10, y, "text-anchor": "end", text });
  }

  axis(top, bottom) {
    const parts = [];
    const [from, to] = this.range;
    const step = niceStep(to - from, Math.max(3, Math.floor(this.width / 110)));
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      parts.push(s("line", { class: "gridline", x1: this.x(at), x2: this.x(at), y1: 18, y2: bottom }),
        s("text", { class: "tick", x: this.x(at), y: bottom + 14, "text-anchor": "middle", text: duration(at) }));
    }
    return parts;
  }

  span(className, from, to, y, height, title) {
    const width = Math.max(0, this.x(to) - this.x(from));
    if (width === 0 || to <= this.range[0] || from >= this.range[1]) return [];
    return [s("rect", { class: className, x: this.x(from), y, width, height, rx: 2 }, s("title", { text: title }))];
  }

  guest(y) {
    const { moments, end, source, destination } = this.run;
    const suspended = moments.suspended ?? end;
    const resumed = moments.resumed ?? moments.returned ?? end;
    const after = moments.resumed != null ? destination : source;
    const last = Math.max(end, this.range[1]);
    const words = [[0, suspended, `at ${source}`], [suspended, resumed, "down"], [resumed, last, `at ${after}`]];
    const parts = [this.name("the guest", y + 17),
      ...this.span("where source", 0, suspended, y, GUEST, `at ${source}: ${duration(suspended)}`),
      ...this.span("where down", suspended, resumed, y, GUEST, `downtime: ${duration(resumed - suspended)}`),
      ...this.span("where destination", resumed, last, y, GUEST, `at ${after}`)];
    for (const [from, to, text] of words) {
      const covered = this.run.faults.some((fault) => this.x(fault.begins) < this.x(from) + text.length * 7 + 14 && (fault.ends ?? end) > from);
      if (!covered && this.x(to) - this.x(from) > text.length * 7 + 12) {
        parts.push(s("text", { class: "whereabouts", x: this.x(from) + 7, y: y + 17, text }));
      }
    }
    if (moments.completed != null && moments.completed <= this.range[1]) {
      parts.push(s("path", { class: "complete", d: `M${this.x(moments.completed)} ${y - 4}v${GUEST + 8}` }, s("title", { text: `migration complete: ${duration(moments.completed)}` })));
    }
    return parts;
  }

  faults(y) {
    const { faults, end } = this.run;
    const parts = [];
    for (const { from, to, many, span } of merged(faults.map((fault) => ({ ...fault, ends: fault.ends ?? end })), (at) => this.x(at))) {
      if (span.begins > this.range[1]) continue;
      const by = span.by === "disk" ? "disk" : "remote";
      const title = many > 1 ? `${many} page faults` : `Page${span.page}: the guest waits ${duration(span.ends - span.begins)}, ${span.by === "disk" ? "for the disk" : "for the source"}`;
      parts.push(s("rect", { class: `stall ${by}`, x: from, y, width: Math.max(1.5, to - from), height: GUEST }, s("title", { text: title })),
        s("rect", { class: `stall-hatch ${by}`, x: from, y, width: Math.max(1.5, to - from), height: GUEST }));
      if (faults.length <= 120) parts.push(s("path", { class: `fault-mark ${by}`, d: `M${from.toFixed(1)} ${y - 1}l-4.5 -7h9Z` }, s("title", { text: title })));
      const words = `Page${span.page}, ${duration(span.ends - span.begins)}`;
      if (many === 1 && to - from > words.length * 6.6 + 10) parts.push(s("text", { class: "stall-name", x: from + 6, y: y + 17, text: words }));
    }
    return parts;
  }

  drawGhosts(y) {
    const shown = this.ghosts.filter((ghost) => ghost.at != null && ghost.at >= this.range[0] && ghost.at <= this.range[1]).slice(0, 120);
    return shown.map((ghost) => s("g", { class: "ghost" },
      s("path", { d: `M${this.x(ghost.at).toFixed(1)} ${y - 1}l-4.5 -7h9Z` }),
      s("line", { x1: this.x(ghost.at), x2: this.x(ghost.at), y1: y, y2: y + GUEST }), s("title", { text: ghost.text })));
  }

  forward(y) {
    const { moments, events, end } = this.run;
    const until = moments.released ?? moments.returned ?? end;
    const parts = [this.name("forward context", y + 10), ...this.span("forward-run", moments.forward_resumed, until, y + 3, 6, "the forward context runs at the source")];
    const misses = events.filter((event) => event.event === "forward_missed");
    for (const miss of misses.slice(0, 500)) {
      if (miss.at_ns <= this.range[1]) parts.push(s("path", { class: "forward-miss", d: `M${this.x(miss.at_ns).toFixed(1)} ${y}v12` }, s("title", { text: `the forward context loads Page${miss.page} from the disk` })));
    }
    return parts;
  }

  lane(cause, y) {
    const sent = this.run.sent.filter((span) => span.cause === cause && span.begins <= this.range[1]);
    const parts = [this.name(cause, y + 9.5), s("rect", { class: "lane", x: LABELS, y, width: this.width - LABELS - RIGHT, height: LANE })];
    for (const { from, to, many, span } of merged(sent, (at) => this.x(at))) {
      const width = Math.max(1.2, to - from - (sent.length < 300 ? 0.8 : 0));
      const title = many > 1 ? `${many} pages` : `Page${span.page}, ${duration(span.begins)}`;
      for (const layer of ["fill", "hatch"]) parts.push(s("rect", { class: `${layer} ${cause}`, x: from, y, width, height: LANE }, s("title", { text: title })));
    }
    return parts;
  }
}
