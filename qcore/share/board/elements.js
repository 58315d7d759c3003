// Elements made one by one: what runs are called is set as text and is never parsed as markup.

export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "checked" || name === "value" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function choice(label, options, chosen, change) {
  const list = make("select", { onchange: (event) => change(event.target.value) },
    ...options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
  list.value = chosen;
  return make("label", { class: "field" }, make("span", {}, label), list);
}

export function toggle(label, on, change) {
  const box = make("input", { type: "checkbox", checked: on, onchange: () => change(box.checked) });
  return make("label", { class: "toggle" }, box, make("span", {}, label));
}

export function button(label, press, properties = {}) {
  return make("button", { type: "button", onclick: press, ...properties }, label);
}

// A table of texts with a header; the first column heads its row.
export function grid(headers, rows, caption) {
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make("table", {},
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...headers.map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell, at) =>
        make(at ? "td" : "th", at ? {} : { scope: "row" }, cell)))))));
}

// A block of text with a button that copies it.
export function copied(text, label) {
  const block = make("pre", { tabindex: "0", role: "region", "aria-label": label }, text);
  const press = button(`Copy ${label}`, () => {
    const range = document.createRange();
    range.selectNodeContents(block);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    // Where the clipboard is closed to a page, the text is selected for the reader's own copy.
    navigator.clipboard?.writeText(text).then(() => { press.textContent = "Copied"; }, () => {});
  });
  return make("div", { class: "copied" }, press, block);
}

export function saved(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = make("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
