// Building the page: elements from plain data, never from markup in a string.

const SVG = "http://www.w3.org/2000/svg";

/** One element: `h("p", {class: "hint", onclick: f}, "text", child)`. Null children are left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** One element of a drawing. */
export function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Put these in place of whatever an element held. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A button. */
export function button(text, onclick, kind = "", more = {}) {
  return h("button", { type: "button", class: kind, onclick, ...more }, text);
}

let labels = 0;

/** A labelled field. */
export function field(text, input, hint = "") {
  const id = `field-${++labels}`;
  input.id = id;
  if (hint) input.setAttribute("aria-describedby", `${id}-hint`);
  return h("div", { class: "field" }, h("label", { for: id }, text), input,
    hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null);
}

/** A dialog; resolves to what `close` was given, or null when dismissed. */
export function ask(title, build) {
  return new Promise((resolve) => {
    const id = `dialog-${++labels}`;
    const dialog = h("dialog", { "aria-labelledby": id }, h("h2", { id }, title));
    let answer = null;
    const close = (value) => {
      answer = value;
      dialog.close();
    };
    dialog.append(...[build(close)].flat().filter((child) => child !== null));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Offer bytes as a file. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
