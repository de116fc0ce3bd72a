// Numbers, times and sizes as the rest of the program writes them.

const UNITS = [[1e9, "s"], [1e6, "ms"], [1e3, "us"], [1, "ns"]];

function unitOf(ns) {
  return UNITS.find(([size]) => Math.abs(ns) >= size) ?? UNITS[3];
}

function trimmed(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

// Thousands apart, so that long numbers can be read.
export function count(number) {
  return number == null ? "-" : Math.round(number).toString().replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

// Four figures: `13.98 s`, `44.9 ms`.
export function duration(ns) {
  if (ns == null) return "-";
  if (ns === 0) return "0 s";
  let [size, unit] = unitOf(ns);
  // What rounds to a thousand belongs to the next unit.
  if (size < 1e9 && Number((ns / size).toPrecision(4)) >= 1000) [size, unit] = unitOf(size * 1000);
  const value = ns / size;
  return Math.abs(value) >= 1000 ? `${count(value)} ${unit}` : `${trimmed(value.toPrecision(4))} ${unit}`;
}

// To the thousandth, as the event log has it.
export function exactDuration(ns) {
  if (ns === 0) return "0 s";
  const [size, unit] = unitOf(ns);
  return `${trimmed((ns / size).toFixed(3))} ${unit}`;
}

// A model time as it stands before a line of the log: seconds to the thousandth; `fine` for a run that
// is over in less than that shows.
export function clock(ns, fine = false) {
  if (fine) return `${(ns / 1e6).toFixed(3)} ms`;
  const millis = Math.floor(ns / 1e6);
  return `${Math.floor(millis / 1000)}.${String(millis % 1000).padStart(3, "0")} s`;
}

const SIZES = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];

export function bytes(number) {
  if (number == null) return "-";
  const [size, unit] = SIZES.find(([least]) => number >= least) ?? [1, "bytes"];
  return size === 1 ? `${count(number)} ${unit}` : `${trimmed((number / size).toPrecision(3))} ${unit}`;
}

export function rate(perSecond) {
  return perSecond == null ? "-" : `${bytes(perSecond).replace("bytes", "B")}/s`;
}

export function percent(ratio, decimals = 1) {
  return ratio == null ? "-" : `${(ratio * 100).toFixed(decimals)} %`;
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

// Steps of 1, 2 or 5 times a power of ten, at most `most` of them up to `span`.
export function niceStep(span, most) {
  const raw = span / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw) ?? raw;
}

const TIME_UNITS = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, min: 60e9, h: 3600e9 };

// A duration as a scenario writes it (`970ms`) in nanoseconds; null where it is none.
export function parseDuration(text) {
  const found = /^\s*([0-9.]+)\s*(ns|us|ms|s|min|h)\s*$/.exec(text ?? "");
  return found ? Math.round(Number(found[1]) * TIME_UNITS[found[2]]) : null;
}

const RATE_UNITS = { "B/s": 1, "kB/s": 1e3, "MB/s": 1e6, "GB/s": 1e9, "bit/s": 1 / 8, "kbit/s": 125, "Mbit/s": 125e3, "Gbit/s": 125e6 };

// A rate as a scenario writes it (`8224B/s`) in bytes per second; null without a modelled link.
export function parseRate(text) {
  const found = /^\s*([0-9.]+)\s*([kMG]?(?:B|bit)\/s)\s*$/.exec(text ?? "");
  return found ? Number(found[1]) * RATE_UNITS[found[2]] : null;
}

// A wall-clock instant for people.
export function wallTime(unixMs) {
  if (unixMs == null || Number.isNaN(Number(unixMs))) return String(unixMs ?? "-");
  const at = new Date(Number(unixMs));
  const two = (number) => String(number).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}
