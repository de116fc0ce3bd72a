// Light, dark, or as the system says.

import { byId, setText } from "./dom.js";

const ORDER = ["system", "light", "dark"];
const NAMES = { system: "◐ System", light: "○ Light", dark: "● Dark" };

function stored() {
  try {
    return localStorage.getItem("theme") ?? "system";
  } catch {
    return "system";
  }
}

function show(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  const button = byId("theme");
  setText(button, NAMES[theme]);
  button.setAttribute("aria-label", `Colours: ${theme}. Change`);
}

let current = ORDER.includes(stored()) ? stored() : "system";

export function nextTheme() {
  current = ORDER[(ORDER.indexOf(current) + 1) % ORDER.length];
  try {
    localStorage.setItem("theme", current);
  } catch { /* it holds for this visit, then */ }
  show(current);
}

export function startTheme() {
  show(current);
  byId("theme").addEventListener("click", nextTheme);
}
