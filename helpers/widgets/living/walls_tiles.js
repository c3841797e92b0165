// The second wall: the same weights as a grid that is kept, and as tiles that are not.
import { html, pick, press, slide } from "./parts.js";
import { player } from "./hands.js";

/** What stands in each cell after so many steps: `kept` in the grid; in the tiles the one `now`, the rest `past`. */
export function cellsAfter({ tokens, steps, weights }, count) {
  const grid = tokens.map(() => tokens.map(() => ({ sign: "", share: 0 }))), tiles = structuredClone(grid);
  steps.slice(0, count).forEach((step, index) => step.weights.forEach((row, i) => row.forEach((weight, j) => {
    const y = step.row + i, x = step.column + j, isNow = index === count - 1;
    if (x > y) return;
    grid[y][x] = { sign: "kept", share: weights[y][x] };
    tiles[y][x] = isNow ? { sign: "now", share: weight } : { sign: "past", share: 0 };
  })));
  for (let y = 0; y < tokens.length; y++) for (let x = y + 1; x < tokens.length; x++) grid[y][x].sign = tiles[y][x].sign = "masked";
  return { grid, tiles };
}

/** Tokens whose running maximum rose in a step, by their rows. */
export function risen(steps, count) {
  if (count < 1) return [];
  const now = steps[count - 1].maximum, before = count > 1 ? steps[count - 2].maximum : [];
  return now.flatMap((value, row) => (value !== null && before[row] != null && value > before[row] ? [row] : []));
}

/** The grid and the tiles in `body`; `turn(changes)` makes another choice. Hands back what shows one. */
export function tilesView(body, data, choice, turn) {
  const last = data.steps.length, sides = html("div", { class: "walls-sides" }), gauges = html("div", { class: "walls-gauges" });
  const scrub = slide("tiles read", { min: 0, max: last, value: choice.step, say: (step) => `${step} of ${last}` }, (step) => turn({ step }));
  const { button, stop, move } = player(scrub, 900), at = () => Number(scrub.querySelector("input").value);
  body.append(html("div", { class: "living-controls" }, button, press("Step back", () => move(at() - 1)), press("Step", () => move(at() + 1)), scrub,
    pick("memory for", data.memory.map(({ label }, i) => [i, label]), choice.memory, (memory) => turn({ memory }))), sides, gauges);
  const most = Math.max(...data.steps.at(-1).sums), n = data.tokens.length;

  /** One grid of cells with a foot below and two numbers behind each row; hands back its nodes to be filled. */
  function side(title, footing, heads) {
    const span = (name, text = "") => html("span", { class: name }, text);
    const many = (name) => Array.from({ length: n }, () => span(name));
    const cells = data.tokens.map(() => many("tiles-cell")), ends = data.tokens.map(() => [span("tiles-number"), span("tiles-number")]);
    const foot = data.tokens.map(footing), rows = data.tokens.flatMap((token, y) => [span("tiles-word", token.trim()), ...cells[y], ...ends[y]]);
    const grid = html("div", { class: "tiles-grid", style: `--columns:${n}` }, span("tiles-head"), ...many(), ...heads.map((head) => span("tiles-number", head)), ...rows,
      span("tiles-word", "in all"), ...foot, span(), span());
    sides.append(html("div", { class: "tiles-side" }, html("p", {}, html("strong", {}, title)), grid));
    return { cells, ends, foot };
  }
  const whole = side("The grid: every weight is kept", () => html("span", { class: "tiles-sum" }, html("i")), ["", ""]);
  const tiled = side("Tiles: one at a time, then forgotten", () => html("span", { class: "tiles-unknown" }, "?"), ["max", "sum"]);
  const fill = (nodes, states) => nodes.forEach((row, y) => row.forEach((node, x) => {
    const { sign, share } = states[y][x];
    node.className = `tiles-cell tiles-${sign || "next"}`;
    node.setAttribute("style", `--share:${Math.round(100 * Math.sqrt(share))}%`);
    node.textContent = sign === "past" ? "·" : "";
  }));

  function show({ step, memory }) {
    const states = cellsAfter(data, step), rose = risen(data.steps, step), state = data.steps[step - 1], done = step === last;
    fill(whole.cells, states.grid);
    fill(tiled.cells, states.tiles);
    whole.foot.forEach((node, x) => (node.firstChild.style.height = `${state ? Math.round((100 * state.sums[x]) / most) : 0}%`));
    tiled.ends.forEach(([largest, sum], y) => {
      const known = state && state.maximum[y] !== null;
      largest.textContent = known ? `${rose.includes(y) ? "▲" : ""}${state.maximum[y].toFixed(1)}` : "–";
      largest.className = `tiles-number${rose.includes(y) ? " tiles-rose" : ""}`;
      sum.textContent = known ? state.total[y].toFixed(2) : "–";
    });
    const held = data.memory[memory], share = Math.max(0.4, (100 * held.tiles) / held.grid);
    const gauge = (label, width, words) => html("div", { class: "walls-gauge" }, html("span", {}, label), html("b", {}, html("i", { style: `width:${width}%` })), html("span", {}, words));
    gauges.replaceChildren(gauge("grid holds", 100, held.grid_words), gauge("tiles hold", share, held.tiles_words));
    const told = !step ? "Nothing is read yet. Press play." : done
      ? "All tiles are read. The grid can say which token got most attention in all; the tiles are gone."
      : `Tile ${step} of ${last}.${rose.length ? ` In ${rose.length === 1 ? "one row" : `${rose.length} rows`} a larger logit came (▲), so the sum so far was made smaller.` : ""}`;
    return `${told} For ${held.label} the grid holds ${held.grid_words}, ${held.times} times what tiles hold (${held.tiles_words}).`;
  }
  return { show, stop };
}
