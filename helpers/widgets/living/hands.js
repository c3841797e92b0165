// What hands do in more than one picture: arrow keys within a row of buttons, and a button that plays a slider.
import { press } from "./parts.js";

/** Let arrow keys go from button to button in `group`, of which one alone is a stop of the Tab key. */
export function arrowKeys(group) {
  const place = (button) => button.offsetTop * 1e5 + button.offsetLeft; // as they are seen
  const buttons = () => [...group.querySelectorAll("button")];
  const hold = (button) => buttons().forEach((each) => (each.tabIndex = each === button ? 0 : -1));
  group.addEventListener("focusin", (event) => hold(event.target));
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = buttons().sort((one, other) => place(one) - place(other));
    all[all.indexOf(event.target) + step]?.focus();
  });
  return { rest: (button) => button && hold(button) };
}

/** A button that moves a slider on, a step each `pause` milliseconds, until its end or the next press. */
export function player(control, pause) {
  const handle = control.querySelector("input");
  let timer = null;
  const move = (value) => ((handle.value = value), handle.dispatchEvent(new Event("input")));
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "▶ Play";
  };
  const step = () => {
    move(Number(handle.value) + Number(handle.step));
    if (Number(handle.value) >= Number(handle.max)) stop();
  };
  const button = press("▶ Play", () => {
    if (timer) return stop();
    if (Number(handle.value) >= Number(handle.max)) move(Number(handle.min));
    timer = setInterval(step, pause);
    button.textContent = "❚❚ Pause";
  });
  return { button, stop, move };
}
