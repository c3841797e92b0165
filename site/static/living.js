// Brings the still pictures of a page to life when they are scrolled into view. Each picture's module is the one that
// the notebooks use; what Python would count was recorded, and lies beside it.
import { mount } from "./mount.js";

const base = new URL("./living/", import.meta.url);
const asked = new Map();
const data = (name) => {
  if (!asked.has(name)) asked.set(name, fetch(new URL(`${name}.json`, base)).then((answer) => answer.json()));
  return asked.get(name);
};
const load = (name) => Promise.all([import(new URL(`${name}.js`, base)), import(new URL("parts.js", base)), data(name)]);

const watch = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries)
      if (isIntersecting) {
        watch.unobserve(target);
        mount(target, load).catch((problem) => console.error(`The picture stays still: ${problem}`));
      }
  },
  { rootMargin: "300px" },
);
for (const figure of document.querySelectorAll(".living-picture")) watch.observe(figure);
