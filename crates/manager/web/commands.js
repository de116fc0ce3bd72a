// Commands as the prompt has them: what the forms say in its language, and the command line.

import { command } from "./connection.js";
import { byId, h, setText } from "./dom.js";

export const SCHEMES = ["lazy-copy", "post-copy", "adaptive-lazy-copy", "pre-copy", "stop-and-copy", "hybrid-post-copy", "hybrid-lazy-copy"];
const SCENARIOS = ["paper", "fair", "fault-penalty", "fast-link", "slow-link", "zipf", "writes", "sequential", "recorded", "hybrid", "pre-copy", "pre-paging", "max-lead", "push-order", "large-guest", "whole-memory", "unlimited"];
const WORDS = ["server start", "server list", "server show", "server stop", "server evacuate", "server drain", "server undrain", "server rebalance",
  "vm create", "vm start", "vm suspend", "vm resume", "vm stop", "vm delete", "vm list", "vm show", "migrate", "migrate cancel", "migrate recover", "migrate reclaim",
  "policy set", "policy show", "time", "time freeze", "time go", "time step 1s", "time slow 10", "status", "results", "events all", "events milestones", "events off", "wait", "help"];

const MOST_REMEMBERED = 200;

// A word of a line, in quotation marks where it needs them.
export function quoted(word) {
  return /^[A-Za-z0-9_.,:=\/@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

// `KEY=VALUE KEY=VALUE` as options.
function settings(text) {
  return (text ?? "").split(/\s+/).filter(Boolean).flatMap((setting) => ["--set", quoted(setting)]);
}

function option(name, value) {
  return value ? [name, quoted(value)] : [];
}

// What each form is in the prompt's language. Pure.
export const LINES = {
  server: ({ name, frames }) => ["server", "start", quoted(name), ...option("--frames", frames)],
  vm: ({ name, on, scenario, set }) => ["vm", "create", quoted(name), ...option("--on", on), ...option("--scenario", scenario), ...settings(set)],
  migrate: ({ vm, to, scheme, set }) => ["migrate", quoted(vm), ...option("--to", to), ...option("--scheme", scheme), ...settings(set)],
  policy: ({ settings: text }) => ["policy", "set", ...text.split(/\s+/).filter(Boolean).map(quoted)],
};

export function lineOf(form, values) {
  return LINES[form](values).join(" ");
}

const FIELDS = {
  server: { title: "Start a server", verb: "Start", fields: [
    { name: "name", label: "Name", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*", hint: "letters, digits, - _ ." },
    { name: "frames", label: "Frames for guests", type: "number", min: 1, hint: "65,536 unless it is given" }] },
  vm: { title: "Create a guest", verb: "Create", fields: [
    { name: "name", label: "Name", required: true, pattern: "[A-Za-z0-9][A-Za-z0-9_.\\-]*", hint: "letters, digits, - _ ." },
    { name: "on", label: "Server", required: true, choices: "servers" },
    { name: "scenario", label: "Scenario", suggestions: SCENARIOS, hint: "a shipped one or a file; paper unless it is given" },
    { name: "set", label: "Other values", hint: "KEY=VALUE ..., such as seed=2 guest.frames=40" }] },
  migrate: { title: "Migrate a guest", verb: "Migrate", fields: [
    { name: "vm", label: "Guest", required: true, choices: "vms" },
    { name: "to", label: "Destination", required: true, choices: "destinations" },
    { name: "scheme", label: "Scheme", choices: "schemes" },
    { name: "set", label: "Other values", hint: "KEY=VALUE ..., such as head_start=2 time_scale=20" }] },
  policy: { title: "Policy for later migrations", verb: "Set", fields: [
    { name: "settings", label: "Settings", required: true, hint: "scheme=lazy-copy head_start=2; KEY=none leaves it to the guest's scenario" }] },
};

// The values of a form; what has to be given and is not yet, as the help would name it.
function filled(fields, values) {
  return Object.fromEntries(fields.map(({ name, required }) => [name, values[name] || (required ? name.toUpperCase() : "")]));
}

export class Commands {
  constructor(connection) {
    this.connection = connection;
    this.dialog = byId("form");
    this.history = [];
    this.line = byId("line");
    this.replies = byId("replies");
    byId("prompt").addEventListener("submit", (event) => {
      event.preventDefault();
      const line = this.line.value.trim();
      if (!line) return;
      this.line.value = "";
      this.run(line);
    });
    this.line.addEventListener("keydown", (event) => this.recall(event));
    this.line.addEventListener("input", () => this.suggest());
    for (const name of Object.keys(FIELDS)) byId(`new-${name}`)?.addEventListener("click", () => this.open(name));
  }

  names(kind, values) {
    const { servers = [], vms = [] } = this.connection.snapshot ?? {};
    const ready = servers.filter((server) => server.state === "ready").map((server) => server.name);
    if (kind === "schemes") return ["", ...SCHEMES];
    if (kind === "servers") return ready;
    if (kind === "vms") return vms.map((vm) => vm.name);
    const from = vms.find((vm) => vm.name === values.vm)?.server;
    return ready.filter((name) => name !== from);
  }

  // Opens a form in its dialog; `values` fill it.
  open(name, values = {}) {
    const { title, verb, fields } = FIELDS[name];
    const preview = h("output", { class: "preview" });
    const problem = h("p", { class: "problem", role: "alert" });
    const controls = fields.map((field) => this.control(field, values));
    const form = h("form", { method: "dialog" }, h("h2", { text: title }),
      ...controls.map(({ label }) => label), h("p", { class: "faint small" }, "The same at the prompt: ", preview), problem,
      h("menu", {}, h("button", { type: "button", class: "quiet", text: "Close" }), h("button", { type: "submit", class: "main", text: verb })));
    const now = () => Object.fromEntries(new FormData(form).entries());
    const show = () => setText(preview, lineOf(name, filled(fields, now())));
    form.addEventListener("input", (event) => {
      if (name === "migrate" && event.target.name === "vm") this.refill(form.elements.to, this.names("destinations", now()));
      show();
    });
    form.querySelector("menu button").addEventListener("click", () => this.dialog.close());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      setText(problem, "");
      const { ok, text } = await this.run(lineOf(name, now()));
      if (ok) this.dialog.close();
      else setText(problem, text);
    });
    this.dialog.replaceChildren(form);
    this.dialog.showModal();
    show();
    controls.find(({ input }) => !input.value)?.input.focus();
  }

  control(field, values) {
    const value = values[field.name] ?? "";
    let input;
    if (field.choices) {
      input = h("select", { name: field.name, required: field.required });
      this.refill(input, this.names(field.choices, values), value);
    } else {
      const list = field.suggestions ? `suggest-${field.name}` : null;
      input = h("input", { name: field.name, type: field.type ?? "text", required: field.required, pattern: field.pattern, min: field.min, list, value, autocomplete: "off", spellcheck: "false" });
    }
    const suggestions = field.suggestions ? h("datalist", { id: `suggest-${field.name}` }, ...field.suggestions.map((word) => h("option", { value: word }))) : null;
    const label = h("label", { class: "field" }, h("span", { text: field.label }), input, suggestions, field.hint ? h("small", { class: "faint", text: field.hint }) : null);
    return { label, input };
  }

  refill(select, names, value = select.value) {
    select.replaceChildren(...names.map((name) => h("option", { value: name, text: name || "as policy and scenario say" })));
    if (names.includes(value)) select.value = value;
  }

  // Sends a line and shows it with its reply.
  async run(line) {
    if (this.history.at(-1) !== line) this.history.push(line);
    if (this.history.length > MOST_REMEMBERED) this.history.shift();
    this.place = null;
    const reply = h("pre", { class: "reply waiting", text: "…" });
    const entry = h("li", {}, h("p", { class: "asked" }, h("span", { "aria-hidden": "true", text: "> " }), line), reply);
    this.replies.append(entry);
    while (this.replies.childElementCount > MOST_REMEMBERED) this.replies.firstElementChild.remove();
    this.replies.scrollTop = this.replies.scrollHeight;
    const said = await command(line);
    setText(reply, said.ok ? said.text : `error: ${said.text}`);
    reply.className = said.ok ? "reply" : "reply error";
    this.replies.scrollTop = this.replies.scrollHeight;
    return said;
  }

  // Up and down go through what was said before.
  recall(event) {
    const direction = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!direction || !this.history.length) return;
    event.preventDefault();
    this.place = Math.max(0, Math.min(this.history.length, (this.place ?? this.history.length) + direction));
    this.line.value = this.history[this.place] ?? "";
  }

  suggest() {
    const text = this.line.value;
    const { servers = [], vms = [] } = this.connection.snapshot ?? {};
    const ends = /(^|\s)(\S*)$/.exec(text);
    const head = text.slice(0, text.length - ends[2].length);
    const options = [];
    if (/--(to|on)\s$/.test(head)) options.push(...servers.map(({ name }) => name));
    else if (/--scheme\s$/.test(head)) options.push(...SCHEMES);
    else if (/^(migrate( (cancel|recover|reclaim))?|vm (start|suspend|resume|stop|delete|show))\s$/.test(head)) options.push(...vms.map(({ name }) => name));
    else if (/^server (show|stop|evacuate|drain|undrain)\s$/.test(head)) options.push(...servers.map(({ name }) => name));
    const lines = [...options.map((word) => head + word), ...WORDS.filter((word) => text && word.startsWith(text) && word !== text)];
    byId("suggestions").replaceChildren(...lines.slice(0, 20).map((value) => h("option", { value })));
  }
}
