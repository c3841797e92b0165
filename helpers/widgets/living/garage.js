// The garage: a conversation above, or beside, the building that holds what the model noted of it; controls, and gauges.
import { answers, html, pick, press, slide, stage, tick } from "./parts.js";
import { headsHolding, linksOf, mebibytes, percent, recordedFrame, sentence, weighed } from "./garage_frame.js";
import { building } from "./garage_floors.js";
import { chat } from "./garage_words.js";
import { GARAGE_LOOK } from "./garage_look.js";

const BEAT = 90; // milliseconds from token to token while it plays

/** Draw the garage into `el`; returns what stops it. */
export function render({ model, el }) {
  const data = { ...model.get("data") }, end = () => data.tokens.length;
  let choice = model.get("choice"), shown = choice, frame = null, bits = new Uint8Array(), playing = null, saving = null, pointed = -1;
  data.tokens = [...data.tokens];

  const { body, figure, say } = stage(el, "The garage of a conversation's memory", data.caption);
  const line = figure.querySelector(".living-line"), look = html("p", { class: "garage-look", "aria-live": "polite" });
  const words = chat(data, { onPoint: (token) => point(token), onPress: (token) => evict([token]) });
  const floors = building(data, {
    onPoint: (floor, tokens) => pointAt(floor, tokens),
    onPress: (floor) => evict(floors.tokensOn(floor)),
  });
  const dials = [gauge("rows evicted", "warm"), gauge("floors given back", "k1"), gauge("memory held", "k0")];
  const [evicted, back, held] = dials.map((dial) => dial.show);

  // --- what is shown ---------------------------------------------------------------------------------------------
  const show = (next, of) => {
    [frame, shown] = [next, of];
    bits = headsHolding(data, of, frame);
    words.show(frame.seen, bits, 2 ** data.kv_heads - 1, of.layer === "all" ? " in all layers" : ` in layer ${of.layer}`);
    floors.draw(frame, of);
    const [gone, all] = [frame.rows_evicted, frame.rows_in_all].map((number) => number.toLocaleString("en")), part = frame.rows_evicted / (frame.rows_in_all || 1), full = frame.full_bytes ?? data.full_bytes;
    evicted(percent(part), part, `${gone} of ${all} in all ${data.layers} layers`);
    back(`${frame.floors_back} of ${frame.floors}`, frame.floors_back / (frame.floors || 1), "blocks that others may use now");
    held(mebibytes(frame.bytes_held), frame.bytes_held / full, `${mebibytes(frame.bytes_alive)} of it rows in use`, frame.bytes_alive / full);
    say(sentence(frame, of.compact));
    reflect();
  };
  const refuse = (why) => { if (!frame && !model.send) throw new Error(why); choice = shown; say(why); reflect(); }; // at first a page's still stays
  const open = new Set(), ifOpen = (next, of) => open.delete(of) && show(next, of); // questions that nothing has overtaken
  const asking = answers(model, () => null, ifOpen, (why) => open.size && refuse(why));
  const turn = (change) => {
    choice = { ...choice, ...change };
    const known = weighed(data, choice, recordedFrame(data, choice)); // Python's count as well, and at once
    open[known ? "clear" : "add"](choice);
    if (known) show(known, choice);
    else asking.ask(choice);
    if (playing) return;
    clearTimeout(saving);
    saving = setTimeout(() => (model.set("choice", choice), model.save_changes()), 500); // once a hand rests
  };

  // --- pointing and evicting by hand -----------------------------------------------------------------------------
  const point = (token) => {
    if (token === pointed) return;
    pointed = token;
    const links = token < 0 || choice.layer === "all" ? null : linksOf(data, choice.layer, choice.head, token);
    const heads = Math.floor(choice.head / (data.heads / data.kv_heads)), isGone = (to) => !(bits[to] & (1 << heads));
    words.mark(new Set(token < 0 ? [] : [token, ...(links ?? []).map(([to]) => to)]));
    words.arcs(token, (links ?? []).map(([to, share]) => [to, share, isGone(to)]));
    floors.mark(new Set(token < 0 ? [] : [token]));
    look.textContent = token < 0 ? HINT : `${named(token)} ${kept(token)}. ${attends(links, isGone)}`;
  };
  const named = (token) => `“${data.tokens[token].trim() || "line end"}”`;
  const kept = (token) => {
    const has = Array.from({ length: data.kv_heads }, (_, head) => head).filter((head) => bits[token] & (1 << head));
    const where = choice.layer === "all" ? "in some layer" : `in layer ${choice.layer}`;
    return has.length === data.kv_heads ? `is parked for every KV head, ${where}` : has.length ? `is parked for KV ${has.length === 1 ? "head" : "heads"} ${has.join(" and ")} only, ${where}` : `has no row left, ${where}`;
  };
  const attends = (links, isGone) => {
    if (!links) return choice.layer === "all" ? "Choose one layer to see what it attends to." : `${NO_LINKS}; it was in ${Object.keys(data.links ?? {}).join(", ") || "none"}.`;
    const to = links.map(([token, share]) => `${named(token)} ${percent(share)}${isGone(token) ? " (evicted)" : ""}`);
    return `Head ${choice.head} attends most to ${to.join(", ") || "itself"}.`;
  };
  const pointAt = (floor, tokens) => {
    const on = floor < 0 ? [] : floors.tokensOn(floor), one = new Set(tokens);
    if (one.size === 1) return point(tokens[0]);
    point(-1);
    for (const part of [words, floors]) part.mark(new Set(on));
  };
  const evict = (tokens) => {
    if (choice.policy !== BY_HAND || !tokens.length) return;
    const gone = new Set(choice.gone), undo = tokens.every((token) => gone.has(token));
    for (const token of tokens) gone[undo ? "delete" : "add"](token);
    turn({ gone: [...gone].sort((a, b) => a - b) });
  };

  // --- controls --------------------------------------------------------------------------------------------------
  const pause = () => {
    playing = clearInterval(playing) ?? null;
    line.setAttribute("aria-live", "polite");
    playButton.textContent = "▶ let it write";
    turn({});
  };
  const play = () => {
    if (playing) return pause();
    choice = { ...choice, share: 0, gone: [], seen: choice.seen >= end() ? data.prompt : choice.seen };
    line.setAttribute("aria-live", "off"); // a sentence a token would be a flood
    playButton.textContent = "❚❚ pause";
    playing = setInterval(() => (choice.seen >= end() ? pause() : turn({ seen: choice.seen + 1 })), BEAT);
  };
  const fresh = (change) => () => (playing && pause(), change());
  const layers = [["all", `all ${data.layers}`], ...Array.from({ length: data.layers }, (_, i) => [i, data.links?.[i] ? `${i} (attention recorded)` : String(i)])];
  const cars = (data.cars ?? []).map(([car]) => car), playButton = press("▶ let it write", play);
  const controls = {
    seen: slide("tokens written", { min: 0, max: end(), value: choice.seen }, (seen) => fresh(() => turn({ seen, share: 0 }))()),
    share: slide("evict", { min: 0, max: 95, step: model.send ? 1 : 5, value: 100 * choice.share, say: (share) => `${share}%` }, (share) => fresh(() => turn({ share: share / 100, seen: end() }))()),
    policy: pick("chosen by", [...data.policies, [BY_HAND, "your hand"]], choice.policy, (policy) => turn({ policy })),
    mode: pick("who chooses", data.modes, choice.mode, (mode) => turn({ mode })),
    compact: tick("slide together", choice.compact, (compact) => turn({ compact })),
    second: tick("second conversation", choice.second, (second) => turn({ second })),
    car: pick("a car has", cars, choice.car, (car) => fresh(() => turn({ car }))()),
    layer: pick("layer", layers, choice.layer, (layer) => turn({ layer })),
    head: pick("attention of head", Array.from({ length: data.heads }, (_, i) => [i, String(i)]), choice.head, (head) => turn({ head })),
  };
  const rows = data.live ? [["layer"]] : data.plays ? [["seen"]] : choice.car ? [["seen", "car"]] : [["seen", "second"], ["share", "policy", "mode", "compact"], ["layer", "head"]];
  const panel = rows.map((names, i) => html("div", { class: "living-controls" }, ...(i || data.live ? [] : [playButton]), ...names.map((name) => controls[name])));
  const reflect = () => {
    const value = { ...choice, share: Math.round(100 * choice.share) };
    for (const [name, control] of Object.entries(controls)) {
      const part = control.querySelector("input, select");
      if (part.type === "checkbox") part.checked = value[name];
      else if (part.type === "range") [part.value, control.querySelector("output").textContent] = [value[name], name === "share" ? `${value[name]}%` : value[name]];
      else part.selectedIndex = { policy: [...data.policies, BY_HAND], mode: data.modes.map(([mode]) => mode), layer: layers.map(([layer]) => layer), car: cars, head: null }[name]?.indexOf(value[name]) ?? value[name];
    }
    const byHand = value.policy === BY_HAND;
    for (const name of ["share", "mode"]) controls[name].hidden = byHand;
    figure.classList.toggle("garage-by-hand", byHand);
    if (pointed < 0) look.textContent = byHand ? HAND : HINT;
  };

  // --- the page --------------------------------------------------------------------------------------------------
  const gauges = html("div", { class: "garage-gauges" }, ...dials.map((dial) => dial.node));
  const main = html("div", { class: "garage-main" }, html("div", {}, words.node, look), floors.node);
  body.append(html("style", {}, GARAGE_LOOK), html("div", { class: "garage" }, html("div", { class: "garage-panel" }, ...panel), gauges, line, main));
  const sizes = new ResizeObserver(() => floors.repaint()), themes = new MutationObserver(() => floors.repaint());
  sizes.observe(floors.node);
  for (const node of [document.body, document.documentElement]) themes.observe(node, { attributes: true });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", floors.repaint);
  const hear = ({ live }) => live && (data.tokens.splice(live.at, Infinity, ...live.tokens), show(live.frame, { ...choice, seen: live.frame.seen }));
  model.on("msg:custom", hear);
  if (data.first) show(data.first, choice); else turn({});
  if (data.plays && !matchMedia("(prefers-reduced-motion: reduce)").matches) { play(); if (data.plays !== "here") setTimeout(() => el.scrollIntoView({ behavior: "smooth" }), 300); } // once it is on the page
  return () => (clearInterval(playing), clearTimeout(saving), asking.stop(), floors.stop(), sizes.disconnect(), themes.disconnect(), dark.removeEventListener("change", floors.repaint), model.off("msg:custom", hear));
}

const BY_HAND = "by hand", NO_LINKS = "Its attention was not recorded in this layer";
const HINT = "Point at a word, or walk along the words with the arrow keys: arcs show what it attends to.";
const HAND = "Click words or floors, or press Enter on them, to send their cars away; again to bring them back.";

function gauge(name, colour) {
  const number = html("b", { class: "garage-number" }), small = html("span", { class: "garage-small" });
  const [outer, inner] = [0, 1].map(() => html("i", { style: `background:var(--${colour});transform:scaleX(0)` })); // grows to its number
  const node = html("div", { class: "garage-gauge" }, html("span", {}, name), number, html("span", { class: "garage-bar" }, outer, inner), small);
  const show = (words, part, more, within = part) => {
    [number.textContent, small.textContent] = [words, more];
    outer.style.transform = `scaleX(${Math.min(1, part)})`; // two conversations hold more than one
    inner.style.transform = `scaleX(${within})`;
  };
  return { node, show };
}
