// Elements, and lists of them that keep what has not changed (and the focus in it).

const SVG = "http://www.w3.org/2000/svg";

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else if (name === "dataset") Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child != null && child !== false));
  return element;
}

export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

export function s(tag, properties, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

export function byId(id) {
  return document.getElementById(id);
}

// Writes a text only where it differs: what has not changed is not read out again.
export function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value == null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : value);
}

// Makes the children of `parent` those of `items`: `make(item)` for new keys, `update(element, item)` for all.
export function keyed(parent, items, keyOf, make, update) {
  const old = parent.keyedChildren ?? new Map();
  const now = new Map();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const element = old.get(key) ?? make(item);
    update?.(element, item);
    now.set(key, element);
    // One that has gone elsewhere is taken out, so that those behind it need not move.
    if (place && element !== place && element === place.nextElementSibling) {
      place.remove();
      place = element;
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const [key, element] of old) if (!now.has(key)) element.remove();
  parent.keyedChildren = now;
}

// The words a screen reader is to say now.
export function announce(text) {
  setText(byId("spoken"), text);
}

export function prefersStill() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
