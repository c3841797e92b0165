// The text as words to point at: a chat of tokens, under each which heads still have its row, and arcs of attention.
import { html, svg } from "./parts.js";
import { walkable } from "./garage_keys.js";

const SIGNS = { "<|im_start|>": "▸", "<|im_end|>": "■" }, NAMES = { "<|im_start|>": "a message begins", "<|im_end|>": "the message ends" };

/** How a token is written: line ends and the marks of a chat as signs. */
export function signOf(text, next, isText) {
  const breaks = isText && text.endsWith("\n") && !next?.startsWith("\n");
  return (SIGNS[text] ?? text.replace(/\n/g, "⏎")) + (breaks ? "\n" : "");
}

/** The turn of a chat in which each token stands, and whether it is the turn's text: `[turn, role, is text]`. */
export function turnsOf(tokens) {
  let turn = 0, role = "", head = 0;
  return tokens.map((text, i) => {
    if (text === "<|im_start|>") [turn, role, head] = [turn + (i > 0), (tokens[i + 1] ?? "").trim(), i + 3];
    return [turn, role, i >= head];
  });
}

/** The text in `node`: `show` what is written and held, `mark` tokens, draw `arcs` from one of them. */
export function chat(data, { onPoint, onPress }) {
  const arrows = svg("svg", { class: "garage-arcs", "aria-hidden": "true" });
  const list = html("div", { role: "listbox", "aria-label": "The words of the conversation", "aria-multiselectable": "true" });
  const node = html("div", { class: "garage-words" }, list, arrows), spans = [], shown = [];
  let turns = [], nShown = 0;
  const keys = walkable(list, () => spans.slice(0, nShown), {
    step: (at, key) => ({ ArrowLeft: at - 1, ArrowRight: at + 1 })[key] ?? nextLine(spans, nShown, at, { ArrowUp: -1, ArrowDown: 1 }[key]),
    onPoint, onPress,
  });
  const add = () => {
    turns = turnsOf(data.tokens);
    for (let i = spans.length; i < data.tokens.length; i++) {
      const [turn, role, isText] = turns[i], text = data.tokens[i];
      if (turn >= list.children.length) list.append(html("div", { role: "group", "aria-label": role || "text", class: `garage-turn garage-${role || "text"}` }));
      const look = isText ? "garage-word" : "garage-word garage-sign";
      spans.push(html("span", { role: "option", class: look, tabindex: -1, "aria-selected": "false", "aria-label": NAMES[text] ?? (text.trim() || "line end") }, signOf(text, data.tokens[i + 1], isText && role !== "system")));
      list.children[turn].append(spans[i]);
    }
  };
  const show = (seen, bits, all, by) => {
    add();
    nShown = seen;
    node.classList.toggle("garage-thinned", bits.subarray(0, seen).some((each) => each !== all));
    spans.forEach((span, i) => {
      const state = i >= seen ? "later" : bits[i] ? `heads${bits[i]}` : "gone", wanted = `${state}${i === seen - 1 ? " last" : ""}`;
      if (shown[i] === wanted) return;
      shown[i] = span.dataset.state = wanted;
      span.setAttribute("aria-selected", String(state === "gone"));
      span.setAttribute("aria-description", state === "gone" ? `evicted${by}` : "");
    });
    keys.start();
  };
  const mark = (tokens) => spans.forEach((span, i) => span.classList.toggle("garage-marked", tokens.has(i)));
  const arcs = (from, links) => {
    const box = node.getBoundingClientRect();
    arrows.replaceChildren(...(from < 0 ? [] : links).flatMap(([to, share, gone]) => arc(box, spans[from], spans[to], share, gone)));
  };
  return { node, show, mark, arcs };
}

function nextLine(spans, n, at, way) {
  if (!way) return null;
  const line = (span) => Math.round(span.offsetTop / 6), x = spans[at].offsetLeft, here = line(spans[at]);
  let best = null, found = null;
  for (let i = at + way; i >= 0 && i < n; i += way) {
    const of = line(spans[i]);
    if (of === here) continue;
    found ??= of;
    if (of !== found) break;
    if (best == null || Math.abs(spans[i].offsetLeft - x) < Math.abs(spans[best].offsetLeft - x)) best = i;
  }
  return best ?? at;
}

function arc(box, from, to, share, gone) {
  const [[x1, y1], [x2, y2]] = [from, to].map((span) => {
    const rect = [...span.getClientRects()].at(-1); // the last: a token that is broken between lines begins with a blank
    return [Math.round(rect.left + rect.width / 2 - box.left), Math.round(rect.top + 2 - box.top)];
  });
  const isNear = Math.abs(y1 - y2) < 8, bow = isNear ? 0 : 24;
  const lift = isNear ? Math.min(30, 10 + Math.abs(x1 - x2) / 6) : 10;
  const d = `M${x1} ${y1}Q${(x1 + x2) / 2 + bow} ${Math.min(y1, y2) + (isNear ? 0 : Math.abs(y1 - y2) / 2) - lift} ${x2} ${y2}`;
  return [svg("path", { d, "stroke-width": 1.5 + 7 * share, "stroke-dasharray": gone ? "3 4" : null }), svg("circle", { cx: x2, cy: y2, r: 3.5 })];
}
