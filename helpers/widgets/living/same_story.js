// The same story: machines write the same story, each at the speed that its memory allows.

import { html, isCalm, pick, press, slide, stage } from "./parts.js";

/** Tokens written, after so many seconds more at a speed; what is done stays done. */
export function advance(progress, speed, seconds, count) {
  return Math.min(count, progress + speed * seconds);
}

/** Tokens that stand there: whole ones. */
export function whole(progress) {
  return Math.floor(progress + 1e-9);
}

/** Draw the picture into `el`; returns what ends it. */
export function render({ model, el }) {
  const { tokens, models, filled, frames, caption } = model.get("data");
  const choice = { ...model.get("choice") }, count = tokens.length;
  const { body, say } = stage(el, "The same story", caption);
  const ahead = (n) => `${n.toLocaleString("en")} tokens`;
  const speeds = () => frames[`${choice.model}/${choice.filled}`].lanes;
  const lanes = speeds().map(({ name }) => {
    const head = html("strong"), done = html("span"), rest = html("span", { style: "visibility:hidden" });
    const text = html("p", { style: "margin:2px 0 0", "aria-hidden": "true" }, done, rest);
    return { name, head, done, rest, node: html("div", { style: LANE }, head, text), progress: 0, seconds: 0 };
  });
  let timer = 0, last = 0;

  function draw() {
    for (const { name, head, done, rest, progress, seconds } of lanes) {
      const n = whole(progress);
      head.textContent = `${name}: ${n} of ${count} tokens, ${seconds.toFixed(1)} s`;
      done.textContent = tokens.slice(0, n).join("");
      rest.textContent = tokens.slice(n).join("");
    }
  }
  /** So many seconds further, all lanes that are not done. */
  function run(seconds) {
    speeds().forEach(({ speed }, i) => {
      const lane = lanes[i], left = (count - lane.progress) / speed;
      lane.seconds += Math.min(seconds, left);
      lane.progress = left <= seconds ? count : advance(lane.progress, speed, seconds, count);
    });
    draw();
    const ready = lanes.filter(({ progress }) => progress >= count);
    if (ready.length) say(`Done: ${ready.map(({ name, seconds: s }) => `${name} in ${s.toFixed(1)} s`).join(", ")}.`);
    return ready.length === lanes.length;
  }
  function step(now) {
    const over = run(Math.max(0, now - last) / 1000);
    last = now;
    if (!over) timer = requestAnimationFrame(step);
  }
  function start() {
    cancelAnimationFrame(timer);
    for (const lane of lanes) lane.progress = lane.seconds = 0;
    say("They write.");
    if (isCalm()) return run(count / Math.max(...speeds().map(({ speed }) => speed)));
    last = performance.now();
    timer = requestAnimationFrame(step);
  }
  function turn(change) {
    Object.assign(choice, change);
    model.set("choice", { ...choice });
    model.save_changes();
    const rates = speeds().map(({ name, speed }) => `${name} ${speed.toFixed(1)}`).join(", ");
    say(`${choice.model}, ${ahead(choice.filled)} in the cache. Tokens per second at best: ${rates}.`);
  }
  const range = { min: 0, max: filled.length - 1, value: filled.indexOf(choice.filled), say: (i) => ahead(filled[i]) };
  const knob = slide("already in the cache", range, (i) => turn({ filled: filled[i] }));
  const which = pick("model", models, choice.model, (name) => turn({ model: name }));
  const controls = html("div", { class: "living-controls" }, press("Write the story", start), knob, which);
  const side = html("div", { style: "display:flex;flex-wrap:wrap;gap:8px" }, ...lanes.map(({ node }) => node));
  body.append(controls, side);
  draw();
  say("All three hold the model and its cache. Let them write.");
  return () => cancelAnimationFrame(timer);
}

const LANE = "flex:1 1 250px;background:var(--deck);border:1px solid var(--line);border-radius:6px;padding:6px 10px";
