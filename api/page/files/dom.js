// Elements. What users wrote becomes text nodes only: nothing here reads markup.

export const byId = (id) => document.getElementById(id);

// An element with attributes (null and false are left out), listeners ({on: {click}}) and children,
// of which strings become text.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  const { on = {}, ...rest } = attributes;
  for (const [name, value] of Object.entries(rest)) {
    if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  for (const [event, listener] of Object.entries(on)) element.addEventListener(event, listener);
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function button(text, click, attributes = {}) {
  return make("button", { type: "button", ...attributes, on: { click } }, text);
}

// A link to what a user names, if it leads to the web; else its address as text.
export function linkTo(address, text) {
  const url = URL.canParse(address) ? new URL(address) : null;
  if (url === null || !["http:", "https:"].includes(url.protocol)) return make("span", {}, address);
  const attributes = { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" };
  return make("a", attributes, text || address);
}

export function timeOf(text) {
  return make("time", { datetime: text }, new Date(text).toLocaleString());
}
