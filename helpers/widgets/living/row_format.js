// A row in a format: numbers as marks, what comes back as bars, the steps between, and the bytes as they lie.

import { answers, html, pick, slide, stage, svg } from "./parts.js";
import { fluid, glider, radios } from "./sheet.js";

const HEAD = 44, FIELD = 260, LEFT = 30; // pixels above the field, its height, and beside it for the numbers' names
const PULL = 34; // pixels that a hand moves up to make a number one step larger

/** The name of a recorded frame. As long as no number is larger, it does not matter which one is chosen. */
export function recordedKey({ format, half, number, times }) {
  return `${format}/${half}/${times > 1 ? number : "-"}/${times}`;
}

/** Where a number stands in the field, in pixels; what lies beyond its ends stands there. */
export function heightOf(number, top) {
  return HEAD + (FIELD / 2) * (1 - Math.max(-top, Math.min(top, number)) / top);
}

/** How much larger a number is made by a hand that went up by so many pixels from where it took hold. */
export function pulled(times, from, pixels) {
  const place = times.indexOf(from) + Math.round(pixels / PULL);
  return times[Math.max(0, Math.min(times.length - 1, place))];
}

/** The place in a list of numbers that is nearest to `wanted`. */
export function nearestOf(numbers, wanted) {
  return numbers.reduce((best, each) => (Math.abs(each - wanted) < Math.abs(best - wanted) ? each : best));
}

const minus = (number, digits) => number.toFixed(digits).replace("-", "−");

function note(x, y, words, look = {}) {
  return svg("text", { x, y, "text-anchor": "middle", ...look }, words);
}

/** The steps of each group, with its scale; where steps are too close to be drawn, grey ground. */
function ground(groups, width, top) {
  const wide = (width - LEFT) / groups.length;
  return groups.flatMap(({ lines, dense, scale, steps }, i) => {
    const from = LEFT + wide * i, to = from + wide - 6;
    const path = lines.map((n) => `M${from} ${heightOf(n, top)}H${to}`).join("");
    const [low, high] = dense.map((n) => heightOf(n, top));
    return [
      ...(dense.length ? [svg("rect", { x: from, y: high, width: to - from, height: low - high, ...GREY })] : []),
      svg("path", { d: path, stroke: "var(--soft)", opacity: 0.55 }),
      svg("path", { d: `M${from} 24v-5H${to}v5`, stroke: "var(--soft)", fill: "none" }),
      note((from + to) / 2, 13, `${scale ? `scale ${scale}` : "no scale"}, ${steps.toLocaleString("en")} steps`, SOFTLY),
    ];
  });
}

/** What stands for each number: its mark as it was, its bar as it comes back, the error between, a grip to pull. */
function columns(count, width, top) {
  const pitch = (width - LEFT) / count, wide = pitch * 0.72, zero = heightOf(0, top);
  const parts = Array.from({ length: count }, (_, i) => {
    const x = LEFT + pitch * i + (pitch - wide) / 2 - 2;
    return {
      light: svg("rect", { x: x - 2, y: HEAD, width: wide + 4, height: FIELD, fill: "var(--mark)" }),
      bar: svg("rect", { x, width: wide, fill: "var(--k0)" }),
      gap: svg("rect", { x: x + wide * 0.35, width: wide * 0.3, fill: "var(--warm)" }),
      mark: svg("rect", { x: x - 1, width: wide + 2, height: 3, fill: "var(--ink)" }),
      far: note(x + wide / 2, 0, "", { style: "font-weight:700" }),
      grip: note(x + wide / 2, HEAD + FIELD + 17, "▲", { style: "font-size:13px" }),
    };
  });
  const span = (node, from, to) => {
    node.setAttribute("y", Math.min(from, to));
    node.setAttribute("height", Math.abs(to - from));
  };
  const move = (numbers) => parts.forEach(({ bar, gap, mark, far }, i) => {
    const exact = numbers[i], read = heightOf(numbers[count + i], top), high = heightOf(exact, top);
    span(bar, zero, read);
    span(gap, high, read);
    mark.setAttribute("y", high - 1.5);
    far.textContent = Math.abs(exact) > top ? minus(exact, 1) : "";
    far.setAttribute("y", exact > 0 ? HEAD - 5 : HEAD + FIELD + 14);
  });
  const light = (number, grips) => parts.forEach((each, i) => {
    each.light.setAttribute("opacity", i + 1 === number ? 1 : 0);
    each.grip.setAttribute("opacity", grips.includes(i + 1) && !each.far.textContent.startsWith("−") ? 1 : 0);
  });
  const order = ["light", "bar", "gap", "mark", "far", "grip"];
  return { nodes: order.flatMap((name) => parts.map((part) => part[name])), move, light, pitch };
}

/** The bytes as they lie, those of a scale framed, those of the chosen number lit. */
function bytesOf(text, places, number) {
  return places.map((numbers, i) => {
    const edge = numbers.length ? "transparent" : "var(--ink)";
    const fill = numbers.includes(number) ? "var(--mark)" : "var(--deck)";
    const look = `border:2px solid ${edge};background:${fill};padding:0 3px;border-radius:3px`;
    return html("span", { style: look }, text.slice(2 * i, 2 * i + 2));
  });
}

/** Draw the picture into `el`; returns what ends it. */
export function render({ model, el }) {
  const data = model.get("data"), { top, count, times } = data, live = Boolean(model.send);
  const choice = { ...model.get("choice") };
  const numbers = live ? Array.from({ length: count }, (_, i) => i + 1) : data.numbers;
  const { body, say } = stage(el, "A row in a format", data.caption);
  const under = svg("g"), over = svg("g");
  const picture = svg("svg", { role: "img", style: "touch-action:none;cursor:ns-resize" }, under, over);
  const lying = html("div"), cells = html("div", { style: CELLS });
  const size = html("span"), which = html("span");
  let frame = data.recorded[recordedKey(choice)], stored = choice, shown = null, width = 0, hold = null;
  const motion = glider((all) => shown.move(all), 300);
  const goal = () => [...frame.exact, ...frame.read];
  const recorded = (wanted) => data.recorded[recordedKey(wanted)];
  const asking = answers(model, recorded, (found, asked) => ((frame = found), (stored = asked), update(true)), say);

  function update(moving) {
    under.replaceChildren(...ground(frame.groups, width, top));
    if (moving) motion.to(goal());
    else motion.jump(goal());
    shown.light(stored.number, live ? [stored.number] : data.numbers);
    lying.textContent = `${frame.hex.length / 2} bytes, as they lie; number ${stored.number} is lit, a scale is framed:`;
    cells.replaceChildren(...bytesOf(frame.hex, data.places[stored.format], stored.number));
    picture.setAttribute("aria-label", frame.line);
    say(frame.line);
  }
  function draw(now) {
    width = now;
    shown = columns(count, width, top);
    const left = { "text-anchor": "end", ...SOFTLY };
    const names = [-2, -1, 0, 1, 2].map((n) => note(LEFT - 8, heightOf(n, top) + 5, minus(n, 0), left));
    const zero = svg("path", { d: `M${LEFT} ${heightOf(0, top)}H${width}`, stroke: "var(--ink)" });
    picture.setAttribute("viewBox", `0 0 ${width} ${HEAD + FIELD + 22}`);
    over.replaceChildren(...shown.nodes, zero, ...names);
    update(false);
  }
  function turn(change) {
    Object.assign(choice, change);
    controls();
    model.set("choice", { ...choice });
    model.save_changes();
    asking.ask({ ...choice });
  }
  /** The two controls that a hand on the picture turns too; each is put in place only where it says something else. */
  function controls() {
    const range = { min: 0, max: times.length - 1, value: times.indexOf(choice.times), say: (i) => `× ${times[i]}` };
    const handle = size.querySelector("input");
    const enlarge = (i) => turn({ times: times[i] });
    if (Number(handle?.value ?? -1) !== range.value) size.replaceChildren(slide("make it larger", range, enlarge));
    const list = which.querySelector("select");
    if (numbers[list?.selectedIndex ?? -1] !== choice.number) {
      which.replaceChildren(pick("number", numbers, choice.number, (number) => turn({ number })));
    }
  }
  const column = ({ clientX }) => {
    const box = picture.getBoundingClientRect();
    return Math.ceil(((clientX - box.left) * (width / box.width) - LEFT) / shown.pitch);
  };
  const pointer = {
    pointerdown: (event) => {
      const number = nearestOf(numbers, column(event)), from = number === choice.number ? choice.times : 1;
      picture.setPointerCapture(event.pointerId);
      hold = { y: event.clientY, from };
      turn({ number, times: from });
    },
    pointermove: (event) => {
      const larger = hold && pulled(times, hold.from, hold.y - event.clientY);
      if (larger && larger !== choice.times) turn({ times: larger });
    },
    lostpointercapture: () => (hold = null),
  };
  for (const [name, handler] of Object.entries(pointer)) picture.addEventListener(name, handler);
  const format = radios("format", data.formats, choice.format, (name) => turn({ format: name }));
  const halves = [["second", "second"], ["first", "first, where one stands out"]];
  const half = pick("half of the row", halves, choice.half, (each) => turn({ half: each }));
  const task = `Pull a number up, and watch the others. ${live ? "" : RECORDED_ONLY}`;
  const knobs = html("div", { class: "living-controls" }, which, size, half);
  body.append(html("p", { style: "margin:0 0 8px;font-size:17px" }, task), format, picture, lying, cells, knobs);
  controls();
  const end = fluid(body, draw);
  return () => (end(), motion.stop(), asking.stop());
}

const CELLS = "display:flex;flex-wrap:wrap;gap:2px;min-height:56px;align-content:start;font:14px ui-monospace,monospace";
const GREY = { fill: "var(--gone)", opacity: 0.6 };
const RECORDED_ONLY = "On this page the numbers over a ▲ can be pulled; in a running notebook, all.";
const SOFTLY = { style: "fill:var(--soft)" };
