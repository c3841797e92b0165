// The first wall: tokens move into holes, and masks by age and by place come apart.
import { html, isCalm, pick, press, slide, tick } from "./parts.js";
import { arrowKeys } from "./hands.js";

/** Holes closed in one of three ways and new tokens let in; `helpers.arithmetic.holes.take_in` is the authority. */
export function takeIn(slots, fresh, way) {
  const alive = slots.filter((token) => token !== null);
  if (way === "new tokens into holes") {
    const waiting = [...fresh];
    const taken = slots.map((token) => (token === null && waiting.length ? waiting.shift() : token));
    return { slots: [...taken, ...waiting], copies: 0 };
  }
  if (way === "slide forward") return { slots: [...alive, ...fresh], copies: alive.filter((token, i) => token !== slots[i]).length };
  const movers = slots.slice(alive.length).filter((token) => token !== null);
  const copies = movers.length;
  return { slots: [...slots.slice(0, alive.length).map((token) => token ?? movers.shift()), ...fresh], copies };
}

/** Both masks of the newest tokens over a row of slots: `mask_by_age` and `mask_by_place` of the same file. */
export function masks(slots, count, window) {
  const rows = slots.filter((token) => token !== null);
  const newest = [...rows].sort((a, b) => a - b).slice(-count);
  const age = newest.map((token) => slots.map((row) => row !== null && row <= token && (!window || row > token - window)));
  const place = newest.map((token) => {
    const end = rows.indexOf(token) + 1, seen = rows.slice(window ? Math.max(0, end - window) : 0, end);
    return slots.map((row) => seen.includes(row));
  });
  return { age, place };
}

/** What goes wrong by place, in words: `broken_habits`. */
export function brokenHabits(slots, count, window, block) {
  const rows = slots.filter((token) => token !== null), byAge = [...rows].sort((a, b) => a - b);
  const same = (one, other) => one.length === other.length && one.every((token) => other.includes(token));
  const { age, place } = masks(slots, count, 0), last = rows.slice(-window);
  const checks = {
    "mask of a step with several tokens": String(age) === String(place),
    "sliding window": same(last, rows.filter((row) => row > byAge.at(-1) - window)),
    "protecting the latest rows": same(last, byAge.slice(-window)),
    "taking back the newest tokens": same(rows.slice(-count), byAge.slice(-count)),
    "hash of the first block": slots.length >= block && slots.slice(0, block).every((token, i) => token === i),
  };
  return Object.keys(checks).filter((habit) => !checks[habit]);
}

/** The frame of a choice, as `TwoWalls.frame` counts it, for a page without a kernel. */
export function holesFrame({ row, gone, new: count, way, window: windowed }, { window, block }) {
  const newest = Math.max(...row.filter((token) => token !== null));
  const fresh = Array.from({ length: count }, (_, i) => newest + 1 + i);
  const { slots, copies } = takeIn(row.map((token) => (gone.includes(token) ? null : token)), fresh, way);
  const { age, place } = masks(slots, count, windowed ? window : 0);
  const differ = age.flat().filter((cell, i) => cell !== place.flat()[i]).length;
  return { slots, copies, differ, wrong: brokenHabits(slots, count, window, block), age, place };
}

const GRIDS = ["What may each new token see? By age, which is right (● may be seen):", "By place (✕ hidden by mistake, ! seen by mistake):"];
const HABITS = ["mask of a step with several tokens", "sliding window", "protecting the latest rows", "taking back the newest tokens", "hash of the first block"];
const WAY_NAMES = {
  "new tokens into holes": "new tokens take the holes",
  "fill holes from the tail": "the last tokens fill the holes",
  "slide forward": "all slide forward",
};

/** The holes in `body`; `turn(changes)` makes another choice. Hands back what shows a frame. */
export function holesView(body, data, choice, turn, refuse) {
  const columns = data.slots + data.most_new, at = (slot) => `left:calc(${slot} * 100% / ${columns})`;
  const drive = (slot) => `left:0;transform:translateX(calc(${slot} * (100% + 3px)))`; // the same place, without a new layout
  const before = html("div", { class: "walls-row", role: "group", "aria-label": "The row before: press a token to evict it" });
  const after = html("div", { class: "walls-row" }), grids = html("div", { class: "walls-grid" }), verdict = html("ul", { class: "walls-verdict", "aria-label": "What goes wrong by place" });
  const keys = arrowKeys(before), cars = new Map();
  const places = Array.from({ length: columns }, (_, slot) => after.appendChild(html("span", { style: at(slot) })));
  let shown = null, copied = 0;
  const toggle = (token, gone) => turn({ gone: gone.includes(token) ? gone.filter((each) => each !== token) : [...gone, token] });

  const controls = html("div", { class: "living-controls" },
    pick("the holes:", data.ways.map((way) => [way, WAY_NAMES[way]]), choice.way, (way) => turn({ way })),
    slide("new tokens", { min: 1, max: data.most_new, value: choice.new }, (count) => turn({ new: count })),
    tick(`sliding window of ${data.window}`, choice.window, (window) => turn({ window })),
    press("Play it again", () => shown && replay()),
    press("Next round", () => {
      const row = shown?.frame.slots ?? [];
      if (row.length > data.slots) return refuse(`Now ${row.length} slots are in use. Evict ${row.length - data.slots} more to have room for a next round.`);
      turn({ row, gone: [], round: shown.choice.round + 1, copied });
    }),
    press("Start again", () => turn(data.first)));

  const line = (label, row) => html("div", { class: "walls-line" }, html("div", { class: "walls-label" }, label), row);
  body.style.setProperty("--columns", columns);
  body.append(controls, html("p", { class: "walls-hint" }, "Press a token to evict it. The numbers say in which order tokens came."),
    line("before", before), line("after", after), grids, html("p", { class: "walls-hint" }, "What an engine gets wrong that goes by place:"), verdict);

  function drawBefore({ row, gone }) {
    const state = `${row} ${gone}`;
    if (before.dataset.state === state) return;
    before.dataset.state = state;
    const held = before.contains(document.activeElement) ? document.activeElement.dataset.token : null;
    before.replaceChildren(...row.flatMap((token, slot) => token === null ? [html("span", { class: "walls-slot", style: at(slot) })] : [
      html("button", { type: "button", class: "walls-car", style: at(slot), "data-token": token, "aria-pressed": String(gone.includes(token)),
        "aria-label": `token ${token} in slot ${slot}, ${gone.includes(token) ? "evicted" : "kept"}`, click: () => toggle(token, gone) }, String(token))]));
    const buttons = [...before.querySelectorAll("button")], same = buttons.find((each) => each.dataset.token === held);
    keys.rest(same ?? buttons[0]);
    same?.focus();
  }

  const forget = (tokens) => tokens.forEach((token) => {
    cars.get(token).remove();
    cars.delete(token);
  });

  function drawAfter(row, slots) {
    forget([...cars.keys()].filter((token) => !slots.includes(token)));
    places.forEach((place, slot) => (place.className = slot < slots.length ? "walls-slot" : "walls-slot walls-empty"));
    const coming = slots.filter((token) => token !== null && !cars.has(token));
    for (const token of coming) {
      const from = row.includes(token) ? row.indexOf(token) : columns + 1;
      cars.set(token, after.appendChild(html("span", { style: drive(from) }, String(token))));
    }
    if (coming.length && !isCalm()) void after.offsetLeft; // so that they drive from where they were
    slots.forEach((token, slot) => {
      if (token === null) return;
      const car = cars.get(token), fresh = !row.includes(token), moved = !fresh && row.indexOf(token) !== slot;
      car.className = `walls-car${fresh ? " walls-new" : moved ? " walls-moved" : ""}`;
      car.setAttribute("style", drive(slot));
    });
  }

  function drawMasks({ slots, age, place }) {
    const newest = slots.filter((token) => token !== null).sort((a, b) => a - b).slice(-age.length);
    const shape = `${age.length} ${slots.length}`;
    if (shape !== grids.dataset.shape) {
      const line = (mask) => html("div", { class: "walls-line" }, html("div", { class: "walls-label" }),
        html("div", { class: "walls-row walls-mask" }, ...mask.map((_, slot) => html("span", { style: at(slot) }))));
      grids.replaceChildren(...GRIDS.flatMap((title) => [html("p", {}, title), ...age.map(line)]));
      grids.dataset.shape = shape;
    }
    grids.querySelectorAll(".walls-label").forEach((label, i) => (label.textContent = `${newest[i % newest.length]} sees`));
    const truth = [age, age].flat(2), cells = [age, place].flat(2);
    grids.querySelectorAll("span").forEach((node, i) => {
      const right = cells[i] === truth[i];
      node.className = `walls-cell${cells[i] ? " walls-seen" : ""}${right ? "" : " walls-wrong"}`;
      node.textContent = right ? (cells[i] ? "●" : "") : cells[i] ? "!" : "✕";
    });
  }

  function replay() {
    forget([...cars.keys()]);
    drawAfter(shown.choice.row, shown.frame.slots);
  }

  const show = (frame, now) => {
    if (shown?.choice.round !== now.round) forget([...cars.keys()]);
    shown = { frame, choice: now };
    copied = now.copied + frame.copies;
    drawBefore(now);
    drawAfter(now.row, frame.slots);
    drawMasks(frame);
    verdict.replaceChildren(...HABITS.map((habit) => {
      const fails = frame.wrong.includes(habit);
      return html("li", fails ? { class: "walls-fails" } : {}, `${fails ? "✕" : "✓"} ${habit}`);
    }));
    return `${now.gone.length} evicted, ${now.new} new: ${WAY_NAMES[now.way]}. Rows copied: ${frame.copies}${now.round > 1 ? `, ${copied} in ${now.round} rounds` : ""}. By place, ${frame.differ} cells of the mask are wrong.`;
  };
  return { show, stop() {} };
}
