// Parts of the page.

/** The element of this id. */
export const by = (id) => document.getElementById(id);

/** An element with attributes and children. */
export function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export const cell = (...children) => make("td", {}, ...children);
export const number = (text) => make("td", { class: "number" }, text);

/** A cell with a bar of so much of its width. */
export function bar(share, isLess = false) {
  const width = `width: ${Math.max(1, 100 * share)}%`;
  return make("td", { class: "wide", "aria-hidden": "true" }, make("span", { class: isLess ? "bar less" : "bar", style: width }));
}

/** A row whose first cell is its heading. */
export const row = (heading, ...cells) => make("tr", {}, make("th", { scope: "row" }, heading), ...cells);

const integers = new Intl.NumberFormat("en");
export const grouped = (count) => integers.format(count);

/** Shows a message in an element, or hides it. */
export function tell(element, message) {
  element.hidden = !message;
  element.textContent = message ?? "";
}
