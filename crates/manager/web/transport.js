// Play, pause, speed, steps and the scrubber: one clock for one run or for two.

import { h, prefersStill, s, setAttribute, setText } from "./dom.js";
import { clock } from "./format.js";

// A span of model time that thousandths of a second are too coarse for.
export const FINE_BELOW = 2e9;

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 5, 10, 50];

// Drawn, since not every font has these signs.
const ICONS = {
  play: "M3 1l11 7l-11 7Z", pause: "M3 1h4v14h-4ZM9 1h4v14h-4Z", first: "M1 1h3v14h-3ZM15 1v14l-10 -7Z",
  last: "M12 1h3v14h-3ZM1 1l10 7l-10 7Z", back: "M8 2v4h7v4h-7v4l-7 -6Z", on: "M8 2v4h-7v4h7v4l7 -6Z",
};

function drawn(icon) {
  return s("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, s("path", { d: ICONS[icon] }));
}

export class Transport {
  // `onchange(at)` draws; `step(direction)` gives the next instant with an event, or null.
  constructor({ onchange, step }) {
    Object.assign(this, { onchange, step, at: 0, range: [0, 1], playing: false, speed: 1 });
    const button = (icon, title, act) => h("button", { type: "button", title, "aria-label": title, onclick: act }, drawn(icon));
    this.playButton = button("play", "Play (space)", () => this.toggle());
    this.playButton.classList.add("main");
    this.slider = h("input", { type: "range", min: 0, max: 1000, step: "any", value: 0, class: "scrub", "aria-label": "Model time" });
    this.slider.addEventListener("input", () => this.seek(this.range[0] + (this.slider.value / 1000) * (this.range[1] - this.range[0])));
    // The arrows mean steps here as everywhere on this page.
    this.slider.addEventListener("keydown", (event) => {
      if (/^(Arrow|Home|End|Page)/.test(event.key)) event.preventDefault();
    });
    this.time = h("output", { class: "tabular time" });
    this.speeds = h("select", { "aria-label": "Speed", title: "1×: what is shown takes ten seconds, whatever its model time" }, ...SPEEDS.map((speed) => h("option", { value: speed, text: `${speed}×` })));
    this.speeds.value = 1;
    this.speeds.addEventListener("change", () => { this.speed = Number(this.speeds.value); });
    this.element = h("div", { class: "transport", role: "group", "aria-label": "Playback" },
      button("first", "To the beginning (Home)", () => this.seek(this.range[0])),
      button("back", "One event back (←)", () => this.move(-1)), this.playButton,
      button("on", "One event on (→)", () => this.move(1)),
      button("last", "To the end (End)", () => this.seek(this.range[1])),
      this.time, this.slider, h("label", { class: "speed" }, this.speeds));
  }

  setRange(range) {
    this.range = range;
    this.seek(Math.min(this.at, range[1]));
  }

  seek(at) {
    this.at = Math.max(this.range[0], Math.min(this.range[1], at));
    this.slider.value = ((this.at - this.range[0]) / Math.max(1, this.range[1] - this.range[0])) * 1000;
    const time = clock(this.at, this.range[1] < FINE_BELOW);
    setText(this.time, time);
    setAttribute(this.slider, "aria-valuetext", time);
    this.onchange(this.at);
  }

  move(direction) {
    this.pause();
    const at = this.step(direction);
    if (at != null) this.seek(at);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.at >= this.range[1]) this.seek(this.range[0]);
    this.playing = true;
    this.showPlaying();
    let before = null;
    // Who wants no motion gets four pictures a second instead of sixty.
    const least = prefersStill() ? 250 : 0;
    const tick = (now) => {
      if (!this.playing) return;
      before ??= now;
      if (now - before >= least) {
        // The whole of the migration takes ten seconds at speed 1, whatever its model time.
        const share = ((now - before) / 10_000) * this.speed;
        before = now;
        this.seek(this.at + share * (this.range[1] - this.range[0]));
        if (this.at >= this.range[1]) return this.pause();
      }
      this.frame = requestAnimationFrame(tick);
    };
    this.frame = requestAnimationFrame(tick);
  }

  pause() {
    this.playing = false;
    cancelAnimationFrame(this.frame);
    this.showPlaying();
  }

  showPlaying() {
    this.playButton.replaceChildren(drawn(this.playing ? "pause" : "play"));
    setAttribute(this.playButton, "aria-label", this.playing ? "Pause (space)" : "Play (space)");
    setAttribute(this.playButton, "title", this.playing ? "Pause (space)" : "Play (space)");
  }

  // Faster or slower by one.
  shift(direction) {
    const place = Math.max(0, Math.min(SPEEDS.length - 1, SPEEDS.indexOf(this.speed) + direction));
    this.speed = SPEEDS[place];
    this.speeds.value = this.speed;
  }

  // A fiftieth of the range, for great strides.
  stride(direction) {
    this.pause();
    this.seek(this.at + (direction * (this.range[1] - this.range[0])) / 50);
  }

  // What keys do to it; `whole` shows the whole run, or the migration alone.
  keys({ far, onControl, whole }) {
    return {
      " ": onControl ? null : () => this.toggle(),
      ArrowLeft: () => (far ? this.stride(-1) : this.move(-1)),
      ArrowRight: () => (far ? this.stride(1) : this.move(1)),
      Home: () => this.seek(this.range[0]), End: () => this.seek(this.range[1]),
      "+": () => this.shift(1), "=": () => this.shift(1), "-": () => this.shift(-1),
      w: whole,
    };
  }
}
