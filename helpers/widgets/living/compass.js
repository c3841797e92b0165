// The score drawn: two compasses, all bands as bars, and the keys in the order of their scores.
import { html, pick, slide, stage, svg } from "./parts.js";
import { arrowKeys, player } from "./hands.js";
import { arcPoints, cachedKey, compassFrame, futureQuery, inDegrees, offsetsOf } from "./needles.js";

const RIM = 84, ROW = 25; // pixels: a compass's radius, a key's line
const BANDS = ["Quick", "Slow"];
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
const tenths = (value) => Math.round(10 * value) / 10;
const size = ([x, y]) => Math.hypot(x, y);

/** The entry of the picture. */
export function render({ model, el }) {
  const data = model.get("data"), { body, figure, say } = stage(el, "The score", "");
  figure.prepend(html("style", {}, COMPASS_STYLE));
  let choice = { ...model.get("choice") };
  const stops = [...data.distances, "all"];
  const turn = (changes) => {
    choice = { ...choice, ...changes };
    model.set("choice", choice);
    model.save_changes();
    draw();
  };
  const ahead = (stop) => (stops[stop] === "all" ? "all, their mean" : `${stops[stop].toLocaleString("en")} token${stops[stop] === 1 ? "" : "s"}`);
  const scrub = slide("how far ahead", { min: 0, max: stops.length - 1, value: choice.stop, say: ahead }, (stop) => turn({ stop }));
  const { button, stop: halt } = player(scrub, 1000);
  const heads = data.heads.map(({ name, R }, i) => [i, `${name}, R = ${R.map((value) => value.toFixed(3)).join(" and ")}`]);
  const text = html("p", { class: "compass-hint" }), left = html("div", { class: "compass-left" }), right = html("div", { class: "compass-right" });
  body.append(html("div", { class: "living-controls" }, button, scrub, pick("a head of", heads, choice.head, (head) => turn({ head }))),
    text, html("div", { class: "compass-sides" }, left, right));
  let drawn = null, show = null;

  function draw() {
    const head = data.heads[choice.head];
    if (drawn !== choice.head) {
      drawn = choice.head;
      const parts = [compass(head, 0), compass(head, 1)], bars = allBands(head), list = keyList(head, (key) => turn({ key }));
      left.replaceChildren(html("div", { class: "compass-pair" }, ...parts.map(({ node }) => node)), bars.node);
      right.replaceChildren(html("p", {}, html("strong", {}, "Notes (keys) by score: the longer, the better")), list.node);
      figure.querySelector("figcaption").textContent = data.captions[drawn];
      text.replaceChildren(`It has read “${head.tokens.join("").trim()}”. Dots: questions (queries) of this head. `, html("b", { class: "compass-blue" }, "Blue arrow"), ": their mean, turned as far as the slider says. ",
        html("b", { class: "compass-orange" }, "Orange square"), ": the note (key) on one token. Where both point the same way, the note answers the question.");
      show = (frame, offsets) => [...parts, bars, list].forEach((part) => part.show(frame, offsets, choice));
    }
    const frame = compassFrame(data, choice), [norm, score] = [head.norm[choice.key], frame.scores[choice.key]].map(tenths);
    show(frame, offsetsOf(data, choice.stop));
    const word = head.tokens[choice.key].trim(), place = frame.order.indexOf(choice.key) + 1, isKept = frame.kept.includes(choice.key);
    const [quick, slow] = head.bands.map((band) => tenths(frame.products[band])), rest = score - norm - quick - slow; // what is shown adds up
    say(`“${word}”, asked ${stops[choice.stop] === "all" ? "from all distances ahead, the mean" : `from ${ahead(choice.stop)} ahead`}: quick ${signed(quick)}, slow ${signed(slow)}, the other ${head.omega.length - 2} bands ${signed(rest)}: series ${signed(score - norm)}. ` +
      `Norm term ${signed(norm)}. Score ${signed(score)}, place ${place} of ${frame.order.length}, ${isKept ? "kept" : "evicted"}.`);
  }
  draw();
  return halt;
}

/** One compass: its cloud, its two needles, the way from the start, and the dot product below. */
function compass(head, which) {
  const band = head.bands[which], omega = head.omega[band], dots = head.dots[which];
  const longest = dots.map(size).sort((a, b) => a - b)[Math.floor(0.97 * dots.length)], q = RIM / Math.max(longest, size(head.q_mean[band]));
  const keys = head.tokens.map((_, token) => size(cachedKey(head, token, band))), k = (0.92 * RIM) / Math.max(...keys);
  const start = Math.atan2(head.q_mean[band][1], head.q_mean[band][0]), most = size(head.q_mean[band]) * Math.max(...keys);
  const at = (radius, angle) => ({ x: radius * Math.cos(angle), y: -radius * Math.sin(angle) });
  const arc = svg("path", { class: "compass-arc" }), tip = at(RIM + 17, start), mark = at(RIM, start);
  const query = needle("compass-query", "M-9 -5L0 0L-9 5"), key = needle("compass-key", "M-8 -4h8v8h-8z");
  const inside = dots.filter((dot) => size(dot) * q <= RIM).map(([x, y]) => svg("circle", { cx: x * q, cy: -y * q, r: 2.2 }));
  const picture = svg("svg", { viewBox: "-112 -106 224 212", "aria-hidden": "true" }, svg("circle", { class: "compass-rim", r: RIM }), svg("g", { class: "compass-dots" }, ...inside),
    svg("line", { class: "compass-start", x2: mark.x, y2: mark.y }), svg("text", { x: tip.x, y: tip.y + 5, "text-anchor": "middle" }, "start"), arc, key.node, query.node);
  const turns = html("p"), bar = html("i"), value = html("b");
  const node = html("div", { class: "compass-one" }, html("strong", {}, `${BANDS[which]}: ${inDegrees(omega)} a token`), picture, turns,
    html("div", { class: "compass-bar" }, bar), html("div", { class: "compass-value" }, "dot product ", value));
  const show = ({ products }, offsets, choice) => {
    const future = futureQuery(head, band, offsets), own = cachedKey(head, choice.key, band), single = offsets.length === 1;
    const angle = single ? omega * offsets[0] : 0, points = arcPoints(start, angle, RIM + 6);
    arc.setAttribute("d", angle > 0.02 ? `M${points.map((point) => point.map((x) => x.toFixed(1)).join(" ")).join("L")}` : "");
    query.point(single ? start + angle : Math.atan2(future[1], future[0]), q * size(future));
    key.point(Math.atan2(own[1], own[0]), k * size(own));
    turns.textContent = single ? `turned by ${inDegrees(angle)}` : `mean of ${offsets.length}: ${Math.round((100 * size(future)) / size(head.q_mean[band]))}% as long`;
    const share = (50 * products[band]) / most;
    bar.setAttribute("style", `left:${50 + Math.min(0, share)}%;width:${Math.abs(share)}%`);
    bar.className = share < 0 ? "compass-minus" : "";
    value.textContent = signed(products[band]);
  };
  return { node, show };
}

/** A needle from the middle, `length` long; it turns the short way where the way is long. */
function needle(name, head) {
  const line = svg("line"), tip = svg("path", { d: head }), node = svg("g", { class: name }, line, tip);
  let shown = null;
  const point = (angle, length) => {
    const degrees = (-180 * angle) / Math.PI, by = shown === null ? 0 : degrees - shown;
    shown = shown === null ? degrees : shown + (Math.abs(by) > 360 ? (by % 360) + 360 * Math.sign(by) : by);
    line.setAttribute("x2", Math.max(0, length - 6));
    tip.setAttribute("transform", `translate(${length} 0)`);
    node.style.transform = `rotate(${shown}deg)`;
    shown = degrees;
  };
  return { node, point };
}

/** The products of all bands as bars, up and down from nothing. */
function allBands(head) {
  const bars = head.omega.map((_, band) => svg("rect", { x: (448 * band) / head.omega.length + 1, width: 448 / head.omega.length - 3, class: head.bands.includes(band) ? "compass-drawn" : "" }));
  const longest = head.omega.map((_, band) => size(head.q_mean[band]) * Math.max(...head.tokens.map((_, token) => size(cachedKey(head, token, band)))));
  const scale = 40 / Math.max(...longest), title = html("p", {}, html("strong", {}, `All ${head.omega.length} bands, quick to slow; their sum is the series`));
  const node = html("div", {}, title, svg("svg", { viewBox: "0 0 448 86", "aria-hidden": "true", class: "compass-bands" }, svg("line", { x2: 448, y1: 43, y2: 43 }), ...bars));
  const show = ({ products }) => products.forEach((value, band) => {
    bars[band].setAttribute("y", 43 - Math.max(0, value * scale));
    bars[band].setAttribute("height", Math.max(0.5, Math.abs(value * scale)));
  });
  return { node, show };
}

/** The keys, each a button, which move to their places. */
function keyList(head, choose) {
  const all = [...head.scores.flat(), ...head.mean_score], low = Math.min(...all), span = Math.max(...all) - low;
  const lines = head.tokens.map((token, index) => {
    const parts = { rank: html("span"), bar: html("i"), value: html("span", { class: "compass-number" }) };
    const button = html("button", { type: "button", click: () => choose(index) }, parts.rank, html("span", {}, token.trim()), html("span", { class: "compass-bar" }, parts.bar), parts.value);
    return { ...parts, button };
  });
  const node = html("div", { class: "compass-list", role: "group", "aria-label": "Keys by score: press one to see its needles", style: `height:${ROW * lines.length}px` }, ...lines.map(({ button }) => button));
  const keys = arrowKeys(node);
  const show = ({ scores, order, kept }, _, { key }) => {
    order.forEach((token, place) => {
      const { button, rank, bar, value } = lines[token], score = scores[token], isKept = kept.includes(token);
      button.style.top = `${ROW * place}px`;
      button.className = isKept ? "compass-kept" : "";
      button.setAttribute("aria-pressed", String(token === key));
      button.setAttribute("aria-label", `${place + 1}: ${head.tokens[token].trim()}, score ${signed(score)}, ${isKept ? "kept" : "evicted"}`);
      rank.textContent = isKept ? "✓ kept" : "";
      bar.style.width = `${(100 * (score - low)) / span}%`;
      value.textContent = signed(score);
    });
    if (!node.contains(document.activeElement)) keys.rest(lines[key].button);
  };
  return { node, show };
}

const COMPASS_STYLE = `
.compass-hint{margin:6px 0}
.compass-sides{display:flex;flex-wrap:wrap;gap:10px 24px}
.compass-left{flex:0 1 448px;min-width:0}
.compass-right{flex:1 1 280px;min-width:0}
.compass-left p,.compass-right p{margin:6px 0 2px}
.compass-pair{display:flex;gap:4px}
.compass-one{flex:1 1 0;min-width:0;text-align:center}
.compass-rim{fill:var(--deck);stroke:var(--line)}
.compass-dots{fill:var(--k0);opacity:.45}
.compass-start{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:4 4}
.compass-arc{fill:none;stroke:var(--k0);stroke-width:2.5}
.compass-query,.compass-key{transition:transform .7s ease}
.compass-query line,.compass-query path{stroke:var(--k0);stroke-width:4;fill:none}
.compass-key line{stroke:var(--warm);stroke-width:4}
.compass-key path{fill:var(--warm)}
.compass-bar{position:relative;height:12px;background:var(--deck);border:1px solid var(--line);overflow:hidden}
.compass-bar i{position:absolute;top:0;bottom:0;background:var(--k1)}
.compass-bar i.compass-minus{background:repeating-linear-gradient(45deg,var(--k2) 0 4px,var(--paper) 4px 6px)}
.compass-bands rect{fill:var(--soft)}
.compass-bands rect.compass-drawn{fill:var(--k0)}
.compass-bands line{stroke:var(--line)}
.compass-list{position:relative}
.living .compass-list button{position:absolute;left:0;right:0;height:24px;padding:0 6px;display:grid;white-space:nowrap;font-size:14px;line-height:1;grid-template-columns:54px 62px 1fr 54px;gap:6px;align-items:center;text-align:left;background:none;border:1px solid transparent;transition:top .6s ease}
.living .compass-list button.compass-kept{font-weight:600;background:var(--deck)}
.living .compass-list button[aria-pressed="true"]{border:2px solid var(--warm)}
.compass-list button:focus-visible{outline-offset:-2px}
.compass-list .compass-bar i{left:0;transition:width .6s ease}
.compass-blue{color:var(--k0)}
.compass-orange{color:var(--warm)}
.compass-number{text-align:right;font-variant-numeric:tabular-nums}
`;
