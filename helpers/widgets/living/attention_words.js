// Attention over four words: a query that the hand turns, what each key answers, and the values in those shares.

import { html, press, stage, svg } from "./parts.js";
import { arrow, glider } from "./sheet.js";

const PLANE = 330; // pixels of a plane's side, and of the rows beside it
const FAR = 2.2; // from the middle of a plane to its edge
const LOOKS = [["var(--k0)", "none"], ["var(--warm)", "8 3"], ["var(--k1)", "2 3"], ["var(--k2)", "10 3 2 3"]];
const BOLD = "font-weight:700;paint-order:stroke;stroke:var(--paper);stroke-width:4px;stroke-linejoin:round";
const WON = "“cat” wins. Can you make each of the other three win?";
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

/** What one query gets from keys and values: products, their softmax at 1 / sqrt(2) as shares, the sum of values. */
export function attendWords(query, keys, values) {
  const products = keys.map((key) => query[0] * key[0] + query[1] * key[1]);
  const top = Math.max(...products);
  const raised = products.map((product) => Math.exp((product - top) / Math.SQRT2));
  const total = raised.reduce((sum, each) => sum + each, 0);
  const shares = raised.map((each) => each / total);
  const answer = [0, 1].map((axis) => values.reduce((sum, value, i) => sum + shares[i] * value[axis], 0));
  return { products, shares, answer };
}

/** Where the key lands on the query's line: the product is this length times the query's. */
export function foot(query, key) {
  const square = query[0] ** 2 + query[1] ** 2;
  const product = query[0] * key[0] + query[1] * key[1];
  return square ? query.map((part) => (part * product) / square) : [0, 0];
}

/** The words by falling share, and in words who wins. */
export function verdict(words, shares) {
  const order = [...shares.keys()].sort((a, b) => shares[b] - shares[a]);
  const say = (i) => `${words[i]} ${Math.round(100 * shares[i])}%`;
  return { winner: order[0], line: `“${words[order[0]]}” wins. Shares: ${order.map(say).join(", ")}.` };
}

/** A query held inside the plane, to two decimals. */
export function held(x, y) {
  const shrink = Math.min(1, 2 / (Math.hypot(x, y) || 1));
  return [x, y].map((part) => Math.round(100 * part * shrink) / 100);
}

const at = ([x, y]) => [PLANE / 2 + (x / FAR) * (PLANE / 2), PLANE / 2 - (y / FAR) * (PLANE / 2)];
const pull = (from, to, look) => svg("path", { d: arrow(...at(from), ...at(to)), fill: "none", ...look });
const dot = (place, fill) => svg("circle", { cx: at(place)[0], cy: at(place)[1], r: 4, fill });

function wordArrow(word, i, [x, y], faint) {
  const [stroke] = LOOKS[i], [px, py] = at([x, y]), length = Math.hypot(x, y);
  const further = { x: px + (x / length) * 22, y: py - (y / length) * 14 + 5 };
  const label = svg("text", { ...further, "text-anchor": "middle", style: `fill:${stroke};${BOLD}` }, word);
  return [pull([0, 0], [x, y], { stroke, "stroke-width": faint ? 2 : 3 }), label];
}

function keysLayer(words, keys, query) {
  const [far, near] = [1, -1].map((side) => at(held(query[0] * 99 * side, query[1] * 99 * side)));
  const line = svg("path", { d: `M${near.join(" ")}L${far.join(" ")}`, stroke: "var(--soft)", "stroke-dasharray": "3 5" });
  const fall = (key, i) => {
    const [stroke] = LOOKS[i], d = `M${at(key).join(" ")}L${at(foot(query, key)).join(" ")}`;
    return [svg("path", { d, stroke, "stroke-dasharray": "4 3" }), dot(foot(query, key), stroke)];
  };
  const [x, y] = at(query), right = query[0] < 1.2;
  const beside = { x: x + (right ? 18 : -18), "text-anchor": right ? "start" : "end" };
  const name = svg("text", { ...beside, y: y + 5, style: BOLD }, "query");
  return [line, ...keys.flatMap(fall), ...keys.flatMap((key, i) => wordArrow(words[i], i, key)),
    pull([0, 0], query, { stroke: "var(--ink)", "stroke-width": 5 }), name];
}

function valuesLayer(words, values, shares, order, answer) {
  let from = [0, 0];
  const steps = order.map((i) => {
    const to = from.map((part, axis) => part + shares[i] * values[i][axis]);
    const line = `M${at(from).join(" ")}L${at(to).join(" ")}`, [stroke, dashes] = LOOKS[i];
    from = to;
    return svg("path", { d: line, stroke, "stroke-width": 6, "stroke-dasharray": dashes });
  });
  const [x, y] = at(answer);
  const label = svg("text", { x: x + 8, y: y - 10, style: BOLD }, "answer");
  return [...values.flatMap((value, i) => wordArrow(words[i], i, value, true)), ...steps,
    pull([0, 0], answer, { stroke: "var(--ink)", "stroke-width": 4 }), label];
}

function shareRow(word, i, product, share, won) {
  const text = (x, words, anchor = "start", style = won ? BOLD : "") =>
    svg("text", { x, y: 16, "text-anchor": anchor, style }, words);
  const long = Math.max(1, 128 * share), flat = 9 * Math.abs(product);
  return [
    text(0, won ? `★ ${word}` : word, "start", `${BOLD};fill:${LOOKS[i][0]}`),
    svg("rect", { x: product < 0 ? 100 - flat : 100, y: 25, width: Math.max(1, flat), height: 9, fill: LOOKS[i][0] }),
    svg("path", { d: "M100 22v15", stroke: "var(--soft)" }),
    text(116, product.toFixed(1).replace("-", "−"), "end"),
    svg("rect", { x: 150, y: 3, width: long, height: 31, fill: LOOKS[i][0] }),
    text(156 + long, `${Math.round(100 * share)}%`),
  ];
}

/** Draw the picture into `el`; returns what ends it. */
export function render({ model, el }) {
  const { words, keys, values, caption, start } = model.get("data");
  let { query, order } = model.get("choice");
  const { body, say } = stage(el, "Attention as four words", caption);
  const layers = [0, 1].map(() => svg("g"));
  const slider = { role: "slider", "aria-label": "the query; arrow keys move its tip" };
  const look = { r: 13, fill: "var(--mark)", stroke: "var(--ink)", "stroke-width": 3, style: "cursor:grab" };
  const grip = svg("circle", { tabindex: 0, ...slider, ...look });
  const rows = words.map(() => svg("g"));
  const places = glider((ys) => rows.forEach((row, i) => row.setAttribute("transform", `translate(4 ${ys[i]})`)));
  const task = html("p", { style: "margin:0 0 8px;font-size:17px" });
  const read = html("strong");
  const plane = panel("1. Ask: the query against each key", PLANE, axes(), layers[0], grip);
  const shares = panel("2. Share out", 262, ...heads(), ...rows);
  const sums = panel("3. Answer: the values, in those shares", PLANE, axes(), layers[1]);
  const field = plane.lastChild;
  field.style.touchAction = "none";
  const row = html("div", { style: "display:flex;flex-wrap:wrap;gap:10px 14px;justify-content:center" }, plane, shares, sums);
  const again = press("Start again", () => move(start));
  const controls = html("div", { class: "living-controls" }, press("Shuffle the words", shuffle), again);
  body.append(task, html("p", { style: "margin:0 0 6px" }, "Read so far: ", read), row, controls);

  function draw(note = "") {
    const { products, shares: parts, answer } = attendWords(query, keys, values), { winner, line } = verdict(words, parts);
    layers[0].replaceChildren(...keysLayer(words, keys, query));
    layers[1].replaceChildren(...valuesLayer(words, values, parts, order, answer));
    rows.forEach((each, i) => each.replaceChildren(...shareRow(words[i], i, products[i], parts[i], i === winner)));
    const [cx, cy] = at(query), angle = Math.round((Math.atan2(query[1], query[0]) * 180) / Math.PI);
    const told = `query ${query.join(", ")}: ${line}`, range = { "aria-valuemin": -180, "aria-valuemax": 180 };
    const state = { cx, cy, ...range, "aria-valuenow": angle, "aria-valuetext": told };
    for (const [name, value] of Object.entries(state)) grip.setAttribute(name, value);
    task.textContent = words[winner] === "cat" ? WON : "Drag the query until “cat” wins.";
    read.textContent = `${order.map((i) => words[i]).join(" ")} — and “the” asks what comes next.`;
    say(`${note}${line} The answer is (${answer.map((part) => part.toFixed(2).replace("-", "−")).join(", ")}).`);
  }
  function move(to) {
    query = to;
    draw();
    keep();
  }
  function shuffle() {
    order = [2, 0, 3, 1].map((place) => order[place]);
    places.to(heights());
    draw("Other order, same answer: nothing asked where a word stands. ");
    keep();
  }
  const heights = () => words.map((_, i) => 38 + 57 * order.indexOf(i));
  const keep = () => (model.set("choice", { query, order }), model.save_changes());
  const pointed = ({ clientX, clientY }) => {
    const box = field.getBoundingClientRect();
    return held(((clientX - box.left) / box.width - 0.5) * 2 * FAR, (0.5 - (clientY - box.top) / box.height) * 2 * FAR);
  };
  field.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    grip.focus({ preventScroll: true });
    field.setPointerCapture(event.pointerId);
    move(pointed(event));
  });
  field.addEventListener("pointermove", (event) => field.hasPointerCapture(event.pointerId) && move(pointed(event)));
  grip.addEventListener("keydown", (event) => {
    if (!STEPS[event.key]) return;
    event.preventDefault();
    const by = event.shiftKey ? 0.5 : 0.1;
    move(held(...STEPS[event.key].map((part, axis) => query[axis] + by * part)));
  });
  places.jump(heights());
  draw();
  return places.stop;
}

const axes = () => svg("path", { d: `M0 ${PLANE / 2}H${PLANE}M${PLANE / 2} 0V${PLANE}`, stroke: "var(--line)" });

function heads() {
  const columns = [[4, "word"], [82, "product"], [154, "share of 100%"]];
  return columns.map(([x, words]) => svg("text", { x, y: 20, style: "fill:var(--soft)" }, words));
}

function panel(title, height, ...nodes) {
  const picture = svg("svg", { viewBox: `0 0 ${PLANE} ${height}`, "aria-label": title, role: "group" }, ...nodes);
  const heading = html("div", { style: "font-weight:600" }, title);
  return html("div", { style: "flex:1 1 322px;max-width:400px;min-width:0" }, heading, picture);
}
