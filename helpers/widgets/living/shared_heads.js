// Heads that share: query heads, lines to the strips that they read, strips that merge as KV heads get fewer.

import { html, pick, slide, stage, svg } from "./parts.js";
import { fluid, glider } from "./sheet.js";

const TOP = 46, LOW = 132, TALL = 120; // pixels from the top to the query heads' feet, to the strips, and their height
const LEFT = 92; // pixels for the names of the rows

/** Where the strip that each query head reads has its middle, in query heads from the left. */
export function stripPlaces(nHeads, kvHeads) {
  const size = nHeads / (kvHeads || 1);
  return Array.from({ length: nHeads }, (_, i) => Math.floor(i / size) * size + (size - 1) / 2);
}

/** A frame as the numbers that move: each strip's place, how far it is a latent row, and the gauge's share. */
export function layout(frame) {
  const latent = frame.kv_heads === 0 ? 1 : 0;
  return [...stripPlaces(frame.n_heads, frame.kv_heads), latent, latent ? frame.width : 1, frame.bytes / frame.own];
}

/** The frame nearest to a wished number of KV heads; a latent row only for a latent row. */
export function nearest(frames, kvHeads) {
  const far = ({ kv_heads: n }) => (n && kvHeads ? Math.abs(Math.log(n / kvHeads)) : n === kvHeads ? 0 : Infinity);
  return frames.reduce((best, frame) => (far(frame) < far(best) ? frame : best));
}

function word(x, y, words, look = "") {
  return svg("text", { x, y, style: look }, words);
}

/** The parts of a picture for `n` query heads on a sheet of some width, and what moves them. */
function sheetOf(n, width) {
  const pitch = (width - LEFT - 8) / n, wide = Math.max(3, pitch * 0.7), corner = Math.min(4, wide / 4);
  const hatch = `living-values-${++hatchings}`;
  const middle = (place) => LEFT + (place + 0.5) * pitch;
  const own = Array.from({ length: n }, (_, i) => middle(i));
  const box = (x, y, height, look) => svg("rect", { x: x - wide / 2, y, width: wide, height, ...look });
  const lines = own.map(() => svg("path", { stroke: "var(--soft)", fill: "none" }));
  const strips = own.map(() => svg("g", {},
    box(0, LOW, TALL / 2, { fill: "var(--k0)" }),
    box(0, LOW + TALL / 2, TALL / 2, { fill: `url(#${hatch})`, stroke: "var(--k1)" })));
  const latent = svg("rect", { y: LOW, height: TALL, fill: "var(--warm)" });
  const bar = svg("rect", { x: LEFT, y: LOW + TALL + 20, height: 22, fill: "var(--ink)" });
  const nodes = [
    svg("defs", {}, hatching(hatch)),
    word(0, TOP - 6, "query heads", SOFT), word(0, LOW + 34, "key", SOFT), word(0, LOW + TALL - 22, "value", SOFT),
    word(0, LOW + TALL + 36, "bytes", SOFT),
    ...own.map((x) => box(x, LOW, TALL, { fill: "none", stroke: "var(--line)", "stroke-dasharray": "3 3" })),
    ...lines, ...own.map((x) => box(x, TOP - 20, 20, { fill: "var(--deck)", stroke: "var(--ink)", rx: corner })),
    ...strips, latent, bar,
    svg("rect", { x: LEFT, y: LOW + TALL + 20, width: width - LEFT - 8, height: 22, fill: "none", ...DASHED }),
  ];
  const move = (numbers) => {
    const [merged, broad, share] = numbers.slice(n);
    for (let i = 0; i < n; i++) {
      const x = middle(numbers[i]);
      strips[i].setAttribute("transform", `translate(${x} 0)`);
      strips[i].setAttribute("opacity", 1 - merged);
      lines[i].setAttribute("d", `M${own[i]} ${TOP}L${x} ${LOW}`);
    }
    latent.setAttribute("opacity", merged);
    latent.setAttribute("width", wide * broad);
    latent.setAttribute("x", middle((n - 1) / 2) - (wide * broad) / 2);
    bar.setAttribute("width", (width - LEFT - 8) * share);
  };
  return { nodes, move };
}

let hatchings = 0; // a page may hold this picture twice, and a pattern is known to the whole page by its name

function hatching(id) {
  const lines = svg("path", { d: "M0 4L4 0", stroke: "var(--k1)", "stroke-width": 2 });
  return svg("pattern", { id, width: 4, height: 4, patternUnits: "userSpaceOnUse" }, lines);
}

/** Draw the picture into `el`; returns what ends it. */
export function render({ model, el }) {
  const { frames, caption } = model.get("data");
  const choice = { ...model.get("choice") };
  const { body, say } = stage(el, "Heads that share", caption);
  const picture = svg("svg", { role: "img" });
  const title = html("p", { style: "margin:0 0 6px;font-size:17px;font-weight:700" });
  const figure = html("span", { style: "font-weight:600" }), place = html("span");
  let sheet = null;
  const motion = glider((numbers) => sheet.move(numbers));
  const frame = () => nearest(frames[choice.model], choice.kv_heads);

  function draw(width) {
    sheet = sheetOf(frame().n_heads, width);
    picture.setAttribute("viewBox", `0 0 ${width} ${LOW + TALL + 46}`);
    picture.replaceChildren(...sheet.nodes);
    motion.jump(layout(frame()));
  }
  function turn() {
    const { name, line, bytes, own, published, kv_heads: n } = frame();
    title.textContent = `${choice.model}: ${name}${n === published ? ", as published" : ""}`;
    figure.textContent = `${bytes.toLocaleString("en")} of ${own.toLocaleString("en")} bytes per token and layer`;
    picture.setAttribute("aria-label", line);
    say(line);
    Object.assign(choice, { kv_heads: n });
    model.set("choice", { ...choice });
    model.save_changes();
  }
  function handle() {
    const all = frames[choice.model];
    const range = { min: 0, max: all.length - 1, value: all.indexOf(frame()), say: (i) => all[i].name };
    const share = (i) => {
      choice.kv_heads = all[i].kv_heads;
      turn();
      motion.to(layout(all[i]));
    };
    place.replaceChildren(slide("let them share", range, share));
    place.querySelector("input").style.width = "min(260px, 30vw)";
  }
  const pickModel = pick("model", Object.keys(frames), choice.model, (name) => {
    choice.model = name;
    handle();
    turn();
    draw(body.clientWidth);
  });
  body.append(title, picture, figure, html("div", { class: "living-controls" }, place, pickModel));
  handle();
  turn();
  const end = fluid(body, draw);
  return () => (end(), motion.stop());
}

const SOFT = "fill:var(--soft)", DASHED = { stroke: "var(--soft)", "stroke-dasharray": "4 3" };
