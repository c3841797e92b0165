// Brings the still pictures of a page to life when they are scrolled into view. Each picture's module is the one that
// the notebooks use; what Python would count was recorded, and lies beside it.
const base = new URL("./living/", import.meta.url);
const asked = new Map();
const data = (name) => {
  if (!asked.has(name)) asked.set(name, fetch(new URL(`${name}.json`, base)).then((answer) => answer.json()));
  return asked.get(name);
};

async function enliven(figure) {
  const { picture: name, choice, plays } = figure.dataset;
  const [picture, parts, recorded] = await Promise.all([
    import(new URL(`${name}.js`, base)),
    import(new URL("parts.js", base)),
    data(name),
  ]);
  const place = document.createElement("div");
  const state = { data: { ...recorded, plays: plays === "true" && "here" }, choice: JSON.parse(choice) };
  figure.querySelector(".still").replaceWith(place);
  figure.querySelector("figcaption").hidden = true; // the picture has its own
  picture.default.render({ model: parts.still(state), el: place });
  figure.classList.add("alive");
}

const watch = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries)
      if (isIntersecting) {
        watch.unobserve(target);
        enliven(target).catch((problem) => console.error(`The picture stays still: ${problem}`));
      }
  },
  { rootMargin: "300px" },
);
for (const figure of document.querySelectorAll(".living-picture")) watch.observe(figure);
