// What pictures are drawn with: a place's width, arrows, radio buttons, and motion from one layout to the next.

import { html, isCalm } from "./parts.js";

/** Call `draw(width)` now, and again whenever the place `el` gets another width; returns what ends that. */
export function fluid(el, draw) {
  let drawn = 0;
  const look = () => {
    const width = Math.floor(el.clientWidth);
    if (width && width !== drawn) draw((drawn = width));
  };
  const observer = new ResizeObserver(look);
  observer.observe(el);
  look();
  return () => observer.disconnect();
}

/** A list of numbers a share of the way from one list to another. */
export function between(from, to, share) {
  return to.map((goal, i) => from[i] + (goal - from[i]) * share);
}

/** Motion of a list of numbers: `to` glides there from wherever they are, `jump` is there at once. */
export function glider(draw, duration = 450) {
  let now = null, frame = 0;
  const set = (numbers) => draw((now = numbers));
  const jump = (goal) => (cancelAnimationFrame(frame), set(goal));
  const to = (goal) => {
    if (!now || now.length !== goal.length || isCalm()) return jump(goal);
    cancelAnimationFrame(frame);
    const from = now, start = performance.now();
    const step = (time) => {
      const share = Math.min(1, Math.max(0, (time - start) / duration));
      set(share < 1 ? between(from, goal, share * share * (3 - 2 * share)) : goal);
      if (share < 1) frame = requestAnimationFrame(step);
    };
    frame = requestAnimationFrame(step);
  };
  return { to, jump, stop: () => cancelAnimationFrame(frame) };
}

/** The path of an arrow with a head of `size` pixels; one that is too short has none. */
export function arrow(x0, y0, x1, y1, size = 9) {
  const length = Math.hypot(x1 - x0, y1 - y0);
  const line = `M${x0.toFixed(1)} ${y0.toFixed(1)}L${x1.toFixed(1)} ${y1.toFixed(1)}`;
  if (length < size) return line;
  const [dx, dy] = [((x1 - x0) / length) * size, ((y1 - y0) / length) * size];
  const wing = (side) => `${(x1 - dx + side * dy * 0.5).toFixed(1)} ${(y1 - dy - side * dx * 0.5).toFixed(1)}`;
  return `${line}M${wing(1)}L${x1.toFixed(1)} ${y1.toFixed(1)}L${wing(-1)}`;
}

/** One of a few, all in sight: radio buttons under a legend. `options` are pairs of value and text. */
export function radios(label, options, value, onChange) {
  const name = `living-set-${crypto.getRandomValues(new Uint32Array(2)).join("")}`; // of one name they exclude each other, over a whole page, and every picture has this module anew
  const button = ([each, text]) => {
    const change = () => onChange(each);
    const input = html("input", { type: "radio", name, value: each, checked: each === value, change });
    return html("label", { class: "living-control" }, input, text);
  };
  const look = "display:flex;flex-wrap:wrap;gap:4px 14px;border:0;margin:0;padding:0";
  const legend = html("legend", { style: "float:left;padding:0;margin-right:6px" }, label);
  return html("fieldset", { style: look }, legend, ...options.map(button));
}
