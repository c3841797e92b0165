// The building: a floor for each block, its plates and its shutter as nodes; the cars in its slots painted on one canvas.
import { html, isCalm } from "./parts.js";
import { changes, emptyHere, floorsOf, places } from "./garage_frame.js";
import { walkable } from "./garage_keys.js";

const FLOOR = 34, PITCH = 39; // pixels: the height of a floor, and from one to the next
const DRIVE = 380, SLIDE = 650, FADE = 420, LETTERS = "AB"; // milliseconds; the names of two conversations

/** The garage in `node`: `draw` a frame, `mark` the rows of tokens, `repaint` when colours or sizes have changed. */
export function building(data, { onPoint, onPress }) {
  const canvas = html("canvas", { "aria-hidden": "true" }), deck = html("div", { class: "garage-deck", role: "listbox", "aria-label": "The floors of the garage, from the ground up" });
  const lists = html("div", { class: "garage-lists" });
  const roof = html("div", { class: "garage-roof" }, html("span", {}, "floor"), legend(data), html("span", { title: "how many layers still have a row on this floor" }, "held by"));
  const node = html("div", { class: "garage-building" }, roof, html("div", { class: "garage-stack" }, deck, canvas), lists);
  const cars = new Map(), floors = [];
  let frame = null, order = [], marked = new Set(), found = new Map(), timer = 0, colours = {}, measured = "", calm = false;
  const keys = walkable(deck, () => floors.map((floor) => floor.node), {
    step: (at, key) => ({ ArrowUp: at + 1, ArrowDown: at - 1, ArrowLeft: at - 1, ArrowRight: at + 1 })[key],
    onPoint: (at, event) => onPoint(at, at < 0 || event.type === "focusin" ? [] : under(event, at)),
    onPress: (at) => onPress(at),
  });
  const tokensOn = (at) => [...found.values()].filter((place) => place.floor === at).map((place) => place.token);
  const under = (event, at) => {
    const box = canvas.getBoundingClientRect(), slot = Math.floor(((event.clientX - box.left) / box.width) * data.block_size);
    return [...found.values()].filter((place) => place.floor === at && place.slot === slot).map((place) => place.token);
  };
  const repaint = () => {
    const style = getComputedStyle(node), ratio = devicePixelRatio || 1;
    colours = Object.fromEntries(["k0", "k1", "k2", "ink", "line", "paper", "soft"].map((name) => [name, style.getPropertyValue(`--${name}`)]));
    const { offsetWidth: width, offsetLeft: left } = floors[0]?.bays ?? {}, height = floors.length * PITCH;
    if (!width) return;
    Object.assign(canvas, { width: width * ratio, height: height * ratio });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px`, left: `${left}px` });
    tick();
  };
  const soon = () => (cancelAnimationFrame(timer), (timer = requestAnimationFrame(tick)));
  const tick = () => paint(performance.now()) && soon();
  const paint = (now) => {
    const pen = canvas.getContext("2d"), ratio = devicePixelRatio || 1, slot = canvas.width / ratio / data.block_size;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    const lane = (FLOOR - 3) / data.kv_heads, y = (floor, head) => (order.length - 1 - floor) * PITCH + 1.5 + head * lane;
    const size = { slot, lane: lane - 2, y, colours, part: frame?.car_share ?? 1 };
    if (frame?.alive) return paintAisles(pen, frame.alive, order, size), false;
    paintGone(pen, frame?.rows ?? {}, order, size);
    let busy = false;
    for (const [key, car] of cars) {
      const t = Math.min(1, (now - car.start) / car.ms), eased = 1 - (1 - t) ** 3;
      for (const name of ["x", "floor", "shown"]) car[name] = car.from[name] + (car.to[name] - car.from[name]) * eased;
      if (t === 1 && car.to.shown === 0) cars.delete(key);
      else paintCar(pen, car, size, marked.has(car.token));
      busy ||= t < 1;
    }
    return busy;
  };
  const send = (key, to, ms, from) => {
    const car = cars.get(key) ?? { ...from, head: found.get(key).head, token: found.get(key).token };
    const { x, floor, shown } = car;
    cars.set(key, Object.assign(car, { from: { x, floor, shown }, to: { x, floor, shown, ...to }, start: performance.now(), ms: calm ? 1 : ms }));
  };
  const draw = (next, choice) => {
    const before = found, drawn = floorsOf(data, next, choice.second, order), isNew = next.seen - (frame?.seen ?? 0);
    if (drawn.join() !== order.join()) build(drawn);
    [frame, found] = [next, places(next, order, data.tokens.length)];
    if (next.alive || !before.size) cars.clear();
    calm = isCalm() || !cars.size;
    const { came, left, moved } = changes(next.alive || !cars.size ? new Map() : before, found);
    const drives = cars.size && isNew > 0 && isNew < 4;
    for (const key of left) send(key, { shown: 0 }, FADE);
    for (const key of moved) send(key, { x: found.get(key).slot, floor: found.get(key).floor, shown: 1 }, SLIDE);
    for (const key of came) {
      const { slot: x, floor } = found.get(key);
      send(key, { x, floor, shown: 1 }, drives ? DRIVE : FADE, { x: drives ? -1.2 : x, floor, shown: drives ? 1 : 0 });
    }
    dress(choice);
    const sizes = `${order.length} ${next.tables.length}`; // all that changes them here; styles are read only then
    (sizes !== measured ? repaint : soon)();
    measured = sizes;
  };
  const build = (drawn) => {
    const grows = order.every((block, at) => drawn[at] === block); // then those that are there stay, cars and all
    if (!grows) [order, floors.length, found] = [(cars.clear(), []), 0, new Map()];
    floors.push(...drawn.slice(order.length).map(floorOf));
    order = drawn;
    deck.replaceChildren(...floors.map((floor) => floor.node));
    canvas.parentElement.style.height = `${drawn.length * PITCH}px`;
    keys.start();
  };
  const dress = (choice) => {
    const empty = emptyHere(frame), two = frame.tables.length > 1;
    node.classList.toggle("garage-two", two);
    node.classList.toggle("garage-all", !frame.rows);
    roof.querySelector(".garage-where").textContent = frame.rows ? `layer ${choice.layer}:` : `all ${data.layers} layers:`;
    floors.forEach((floor, at) => {
      const block = order[at], holders = frame.tables.map((table) => table.indexOf(block)), isHeld = holders.some((place) => place >= 0);
      const plates = holders.flatMap((place, i) => (place < 0 ? [] : [two ? `${LETTERS[i]}${place}` : String(place)]));
      floor.plates.hidden = !two && String(block) === plates.join(); // a number that says nothing new
      const layers = frame.layers_holding[block] ?? 0, state = isHeld ? "held" : frame.rows_evicted ? "shut" : "free";
      floor.node.dataset.state = state;
      if (floor.plates.dataset.text !== plates.join()) floor.plates.replaceChildren(...plates.map((text) => html("b", {}, text)));
      floor.plates.dataset.text = plates.join();
      floor.layers.textContent = isHeld ? `${layers} ${layers === 1 ? "layer" : "layers"}` : "";
      floor.note.textContent = isHeld ? (empty.get(block) ?? "") : "";
      floor.shutter.textContent = state === "shut" ? "given back: no row left in any layer" : "";
      if (choice.compact && state === "shut") floor.shutter.textContent = "given back";
      const words = isHeld ? `place ${plates.join(" and ")} in the block table, ${new Set(tokensOn(at)).size} tokens here, held by ${layers} layers. ${empty.get(block) ?? ""}` : state === "shut" ? "given back" : "free";
      floor.node.setAttribute("aria-label", `Block ${block}: ${words}`);
    });
    lists.replaceChildren(...frame.tables.map((table, i) => listed(two ? `table of ${LETTERS[i]}` : "block table", table)), listed("free list", frame.free));
  };
  const mark = (tokens) => {
    marked = tokens;
    const on = new Set([...found.values()].filter((place) => tokens.has(place.token)).map((place) => place.floor));
    floors.forEach((floor, at) => floor.node.classList.toggle("garage-here", on.has(at)));
    soon();
  };
  return { node, draw, mark, repaint, tokensOn, stop: () => cancelAnimationFrame(timer) };
}

function floorOf(block) {
  const part = (name) => html("span", { class: `garage-${name}` });
  const [plates, layers, note, shutter] = ["plates", "layers", "note", "shutter"].map(part);
  const bays = html("span", { class: "garage-bays" }, note, shutter);
  const sign = html("span", { class: "garage-block" }, html("i", {}, String(block)), plates);
  return { node: html("div", { role: "option", class: "garage-floor", tabindex: -1, "aria-selected": "false" }, sign, bays, layers), plates, layers, note, shutter, bays };
}

function listed(name, blocks) {
  return html("div", {}, html("span", { title: name === "free list" ? "blocks that anybody may take" : "the conversation's blocks, in the order of its tokens" }, name), ...(blocks.length ? blocks.map((block) => html("b", {}, String(block))) : ["empty"]));
}

function legend(data) {
  const lanes = Array.from({ length: data.kv_heads }, (_, head) => html("span", {}, html("i", { style: `background:var(--k${head % 3})` }), `KV head ${head}`));
  const aisles = (data.aisles ?? []).map(([first, end]) => `${first}–${end - 1}`).join(", ");
  return html("span", { class: "garage-legend" }, html("span", { class: "garage-where" }), ...lanes, html("em", {}, `in each slot, from left: layers ${aisles}; paler where fewer of them have it`));
}

function paintCar(pen, { x, floor, shown, head }, { slot, lane, y, colours, part }, isMarked) {
  const width = slot * 0.8 * part, left = x * slot + slot * 0.1, top = y(floor, head);
  pen.globalAlpha = shown;
  pen.fillStyle = colours[`k${head % 3}`];
  pen.beginPath();
  pen.roundRect(left, top, width, lane, [2, 4, 4, 2]);
  pen.fill();
  pen.fillStyle = colours.paper;
  pen.globalAlpha = 0.75 * shown;
  pen.fillRect(left + 0.62 * width, top + 1.5, Math.max(1.5, 0.12 * width), lane - 3);
  pen.globalAlpha = 1;
  if (!isMarked) return;
  pen.strokeStyle = colours.ink;
  pen.lineWidth = 2;
  pen.strokeRect(left - 1, top - 0.5, width + 2, lane + 1);
}

function paintGone(pen, rows, order, { slot, lane, y, colours }) {
  pen.fillStyle = colours.line;
  for (const [block, lanes] of Object.entries(rows)) {
    const floor = order.indexOf(Number(block));
    lanes.forEach((row, head) => row.forEach((token, x) => {
      if (token === -1) pen.fillRect(x * slot + slot * 0.32, y(floor, head) + lane / 2 - 1, slot * 0.36, 2);
    }));
  }
}

function paintAisles(pen, alive, order, { slot, lane, y, colours }) {
  for (const [block, aisles] of Object.entries(alive)) {
    const floor = order.indexOf(Number(block)), width = (slot * 0.86) / aisles.length;
    aisles.forEach((lanes, aisle) => lanes.forEach((row, head) => row.forEach((share, x) => {
      if (share <= 0) return;
      pen.globalAlpha = 0.22 + 0.78 * share;
      pen.fillStyle = colours[`k${head % 3}`];
      pen.fillRect(x * slot + slot * 0.07 + aisle * width, y(floor, head), Math.max(1, width - 0.7), lane);
    })));
  }
  pen.globalAlpha = 1;
}
