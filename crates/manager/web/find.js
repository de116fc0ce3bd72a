// The guest that the viewer wants to see: of many, not every memory is shown.

import { announce, byId, h, setAttribute, setText } from "./dom.js";

// With no more guests than that on the page each is seen anyway.
const FEW = 8;

// Names that are suggested at once.
const MOST_SUGGESTED = 20;

export class Find {
  constructor(connection) {
    Object.assign(this, { connection, input: byId("find"), names: [] });
    this.input.addEventListener("input", () => {
      if (!this.input.value) connection.show(null);
      else if (this.names.includes(this.input.value)) connection.show(this.input.value);
      this.suggest();
    });
    this.input.addEventListener("change", () => this.check());
    connection.addEventListener("shown", ({ detail }) => {
      if (this.input.value !== (detail ?? "")) this.input.value = detail ?? "";
      this.check();
      if (detail) announce(`The memory of ${detail} is shown`);
    });
  }

  draw({ vms }) {
    this.names = vms.map(({ name }) => name);
    setAttribute(byId("finding"), "hidden", vms.length <= FEW && !this.connection.shown);
  }

  // A name that no guest has is said to be none.
  check() {
    const name = this.input.value;
    setText(byId("find-problem"), !name || this.names.includes(name) ? "" : `There is no guest "${name}".`);
  }

  suggest() {
    const text = this.input.value;
    const fitting = this.names.filter((name) => text && name.includes(text)).slice(0, MOST_SUGGESTED);
    byId("found").replaceChildren(...fitting.map((value) => h("option", { value })));
  }
}
