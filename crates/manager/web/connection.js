// What the manager says while it runs, and the way commands take to it.

const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 10_000;

// Entries of the log that a viewer keeps: as many as anybody scrolls through.
const MOST_ENTRIES = 4000;

export class Connection extends EventTarget {
  constructor() {
    super();
    this.snapshot = null;
    this.entries = [];
    this.phase = "connecting";
    // The guest whose memory is wanted beside those that are shown anyway.
    this.shown = null;
    this.pause = FIRST_PAUSE;
  }

  open() {
    clearTimeout(this.timer);
    this.stream?.close();
    const stream = new EventSource(this.shown ? `/api/live?show=${encodeURIComponent(this.shown)}` : "/api/live");
    this.stream = stream;
    stream.addEventListener("open", () => {
      this.pause = FIRST_PAUSE;
      this.enter("live");
    });
    stream.addEventListener("state", (message) => {
      const snapshot = JSON.parse(message.data);
      this.snapshot = snapshot;
      this.tell("snapshot");
    });
    stream.addEventListener("log", (message) => {
      const data = JSON.parse(message.data);
      const fresh = Array.isArray(data) ? data : [data];
      this.entries.push(...fresh);
      if (this.entries.length > MOST_ENTRIES) this.entries.splice(0, this.entries.length - MOST_ENTRIES);
      this.tell("log", fresh);
    });
    // The end of the log before this page came, or came back.
    stream.addEventListener("recent", (message) => {
      const recent = JSON.parse(message.data);
      const older = this.entries.filter((entry) => entry.seq < recent[0].seq);
      this.entries = [...older, ...recent].slice(-MOST_ENTRIES);
      this.tell("recent");
    });
    stream.addEventListener("error", () => {
      // The browser's own second try has no bound to its patience and none to its haste: ours has.
      stream.close();
      this.enter("reconnecting");
      this.timer = setTimeout(() => this.openAgain(), this.pause);
      this.pause = Math.min(LONGEST_PAUSE, this.pause * 1.6);
    });
  }

  // A manager that was started anew has forgotten this browser: where it has a token, it asks for it.
  async openAgain() {
    const page = await fetch("/", { cache: "no-store" }).catch(() => null);
    if (page?.status === 401) location.reload();
    else this.open();
  }

  // Has a guest's memory shown, or none besides the usual ones.
  show(name) {
    if (this.shown === name) return;
    this.shown = name;
    this.open();
    this.tell("shown", name);
  }

  enter(phase) {
    if (this.phase === phase) return;
    this.phase = phase;
    this.tell("phase", phase);
  }

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

// Sends a command of the prompt. Gives { ok, text }: its reply, or why it was refused.
export async function command(line) {
  try {
    const response = await fetch("/api/command", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Lazycopy": "page" },
      body: JSON.stringify({ command: line }),
    });
    const reply = await response.json().catch(() => ({}));
    if (response.ok && reply.ok !== false) return { ok: true, text: replyText(reply) };
    return { ok: false, text: reply.error ?? `the manager answered ${response.status} ${response.statusText}` };
  } catch {
    return { ok: false, text: "the manager does not answer; does it still run?" };
  }
}

// A reply in words where there are some, else as it is.
export function replyText({ text, output }) {
  if (typeof text === "string" && text) return text;
  if (output == null) return "done";
  if (typeof output === "string") return output;
  return typeof output.message === "string" ? output.message : JSON.stringify(output, null, 1);
}

async function wanted(path) {
  const response = await fetch(path).catch(() => null);
  if (!response) throw new Error("the manager does not answer; does it still run?");
  if (!response.ok) {
    const said = await response.json().catch(() => ({}));
    throw new Error(said.error ?? `${path}: ${response.status} ${response.statusText}`);
  }
  return response;
}

export const runList = async () => (await wanted("/api/runs")).json();

// The files of a run. before.txt and the accesses are read where the manager gives them.
export async function runFiles(name) {
  const path = `/api/runs/${encodeURIComponent(name)}`;
  const optional = (url, form) => fetch(url).then((response) => (response.ok ? response[form]() : null)).catch(() => null);
  const [result, events, before, accesses] = await Promise.all([
    wanted(path).then((response) => response.json()),
    wanted(`${path}/events`).then((response) => response.text()),
    optional(`${path}/before`, "text"),
    optional(`${path}/accesses`, "json"),
  ]);
  return { result, events, before, accesses };
}
