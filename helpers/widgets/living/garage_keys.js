// One stop for the tabulator in a list of many: arrows walk along it, Enter and the space bar press.

/** Make a list of a node's options walk by keys. `step(at, key)` says which option a key leads to from option `at`. */
export function walkable(list, options, { step, onPoint, onPress }) {
  let at = 0;
  const enter = (index) => {
    const all = options();
    all[at]?.setAttribute("tabindex", -1);
    at = Math.max(0, Math.min(all.length - 1, index));
    all[at]?.setAttribute("tabindex", 0);
    return all[at];
  };
  const indexOf = (event) => options().indexOf(event.target.closest('[role="option"]'));
  const over = (event) => onPoint(indexOf(event), event);
  list.addEventListener("keydown", (event) => {
    const here = indexOf(event);
    if (here < 0) return;
    if (event.key === "Enter" || event.key === " ") onPress(here);
    else {
      const to = event.key === "Home" ? 0 : event.key === "End" ? options().length - 1 : step(here, event.key);
      if (to == null) return;
      enter(to)?.focus();
    }
    event.preventDefault();
    event.stopPropagation(); // a notebook has keys of its own
  });
  list.addEventListener("click", (event) => indexOf(event) >= 0 && (enter(indexOf(event)), onPress(indexOf(event))));
  list.addEventListener("focusin", (event) => indexOf(event) >= 0 && (enter(indexOf(event)), over(event)));
  list.addEventListener("focusout", () => onPoint(-1));
  list.addEventListener("pointermove", over);
  list.addEventListener("pointerleave", () => onPoint(-1));
  return { start: () => enter(at) };
}
