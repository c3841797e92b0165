// What all living pictures are made of: nodes, controls, the line that says in words what is shown, and questions.

const SVG = "http://www.w3.org/2000/svg";

/** A node of HTML. Attributes that are functions are handlers; children are nodes or text. */
export function html(name, attributes = {}, ...children) {
  return build(document.createElement(name), attributes, children);
}

/** A node of SVG, made as `html` makes its own. */
export function svg(name, attributes = {}, ...children) {
  return build(document.createElementNS(SVG, name), attributes, children);
}

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** A list to choose from: `options` are texts, or pairs of value and text. */
export function pick(label, options, value, onChange) {
  const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
  const list = html("select", { change: () => onChange(pairs[list.selectedIndex][0]) });
  list.append(...pairs.map(([, text]) => html("option", {}, text)));
  list.selectedIndex = pairs.findIndex(([each]) => each === value);
  return html("label", { class: "living-control" }, label, list);
}

/** A slider, which answers while it is dragged; `say` puts its value in words. */
export function slide(label, { min, max, step = 1, value, say = String }, onInput) {
  const words = html("output", {}, say(value));
  const show = () => {
    words.textContent = say(Number(handle.value));
    handle.setAttribute("aria-valuetext", words.textContent);
  };
  const handle = html("input", { type: "range", min, max, step, value, input: () => (show(), onInput(Number(handle.value))) });
  show();
  return html("label", { class: "living-control" }, label, handle, words);
}

/** A box to tick. */
export function tick(label, checked, onChange) {
  const box = html("input", { type: "checkbox", checked, change: () => onChange(box.checked) });
  return html("label", { class: "living-control" }, box, label);
}

/** A button. */
export function press(label, onClick) {
  return html("button", { type: "button", class: "living-press", click: onClick }, label);
}

/** The frame of a picture: a figure in `el` with its parts, a line for screen readers and eyes, and its caption. */
export function stage(el, label, caption) {
  const body = html("div", { class: "living-body" });
  const line = html("p", { class: "living-line", "aria-live": "polite" });
  const figure = html("figure", { class: "living", "aria-label": label }, body, line, html("figcaption", {}, caption));
  el.replaceChildren(html("style", {}, STYLE), figure);
  return { body, figure, say: (words) => words !== line.textContent && (line.textContent = words) };
}

// JupyterLab takes arrows and letters for commands of its own, unless the element with the focus says that it wants them.
// What goes with Ctrl or Cmd stays JupyterLab's: who has just turned a picture still saves the notebook.
globalThis.window?.addEventListener("keydown", ({ target, ctrlKey, metaKey }) => {
  if (target.closest?.("figure.living")) target.toggleAttribute("data-lm-suppress-shortcuts", !(ctrlKey || metaKey));
}, true);

/**
 * Ask Python for the frame of a choice, one question at a time: of those that wait only the latest is asked.
 *
 * `recorded(choice)` answers where no kernel does: a frame, or null for what was not recorded. `show(frame, choice)`
 * draws; `refuse(words)` says why there is nothing to draw.
 */
export function answers(model, recorded, show, refuse) {
  let asked = 0, inFlight = null, waiting = null, timer = null;
  const send = (choice) => {
    inFlight = choice;
    model.send({ ask: choice, id: ++asked });
    timer = setTimeout(() => finish(null), PATIENCE);
  };
  const finish = (answer) => {
    clearTimeout(timer);
    const choice = inFlight;
    inFlight = null;
    if (!answer) offline(choice);
    else if (answer.refused) refuse(answer.refused);
    else show(answer.frame, choice);
    if (waiting) send(waiting);
    waiting = null;
  };
  const offline = (choice) => {
    const frame = recorded(choice);
    if (frame) show(frame, choice);
    else refuse("This was not recorded: it needs the notebook, with its kernel running.");
  };
  const hear = (answer) => answer.id === asked && inFlight && finish(answer);
  model.on?.("msg:custom", hear);
  return {
    ask: (choice) => (!model.send ? offline(choice) : inFlight ? (waiting = choice) : send(choice)),
    stop: () => (clearTimeout(timer), model.off?.("msg:custom", hear)),
  };
}

/** What stands in for a widget's model on a page without a kernel. */
export function still(state) {
  return { get: (name) => state[name], set: (name, value) => (state[name] = value), save_changes() {}, on() {}, off() {} };
}

/** True where a reader has asked for no motion. */
export function isCalm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

const PATIENCE = 4000; // milliseconds after which a kernel that says nothing is taken for none

const DARK = `--ink:#e6edf3;--soft:#a9b6c2;--line:#46525e;--deck:#1d252d;--paper:#11161b;
--k0:#56b4e9;--k1:#3fc39a;--k2:#e29bc4;--warm:#ff8a3d;--gone:#38434d;--mark:#5a4a12;`;

export const STYLE = `
.living{--ink:#1b2733;--soft:#52606d;--line:#c3ced8;--deck:#eef2f5;--paper:#fff;
--k0:#0072b2;--k1:#00795a;--k2:#b2518f;--warm:#b84a00;--gone:#d7dfe6;--mark:#ffe9a8;
box-sizing:border-box;margin:0;max-width:1080px;padding:12px 14px;overflow-x:clip;color:var(--ink);background:var(--paper);font:15px/1.45 system-ui,sans-serif}
@media (prefers-color-scheme:dark){:root:not([data-theme="light"]) body:not([data-jp-theme-light="true"]) .living{${DARK}}}
body[data-jp-theme-light="false"] .living,:root[data-theme="dark"] .living{${DARK}}
.living *{box-sizing:border-box}
.living svg{display:block;width:100%;height:auto}
.living svg text{fill:var(--ink);font:14px system-ui,sans-serif}
.living-controls{display:flex;flex-wrap:wrap;gap:8px 18px;align-items:center;margin:10px 0 4px}
.living-control{display:inline-flex;gap:6px;align-items:center}
.living-control output{min-width:3.2em}
.living :is(button,select){font:inherit;color:var(--ink);background:var(--deck);border:1px solid var(--soft);border-radius:6px;padding:3px 10px}
.living :is(button,select,input,[tabindex]):focus-visible{outline:3px solid var(--k0);outline-offset:2px}
.living input{accent-color:var(--k0)}
.living-line{margin:8px 0 2px;min-height:1.45em;font-weight:600}
.living figcaption{color:var(--soft);font-size:14px}
@media (prefers-reduced-motion:reduce){.living *{transition:none!important;animation:none!important}}
/* Behind a picture that lives, a notebook keeps its still picture and caption for pages without a kernel. */
.jp-OutputArea-child:has(.living)+.jp-OutputArea-child,
.jp-OutputArea-child:has(.living)+.jp-OutputArea-child+.jp-OutputArea-child{display:none}
`;
