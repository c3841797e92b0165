// How a recorded picture takes the place of its still.

/**
 * Let a figure's picture live. `load(name)` gives the picture's module, the parts that stand in for a kernel, and what
 * Python recorded. If any of it fails, the still and its caption stay, and the caller hears why.
 */
export async function mount(figure, load) {
  const { picture: name, choice, plays } = figure.dataset;
  const still = figure.querySelector(".still"), caption = figure.querySelector("figcaption");
  const [picture, parts, recorded] = await load(name);
  const state = { data: { caption: caption.textContent, ...recorded, plays: plays === "true" && "here" }, choice: JSON.parse(choice) };
  const place = figure.ownerDocument.createElement("div");
  still.replaceWith(place); // a picture measures the page that it stands in
  try {
    await picture.default.render({ model: parts.still(state), el: place });
  } catch (problem) {
    place.replaceWith(still);
    throw problem;
  }
  caption.hidden = true; // the picture has its own
  figure.classList.add("alive");
}
