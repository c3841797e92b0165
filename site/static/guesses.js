// What a reader guessed and read, kept in this browser alone. What follows a question stays shut until there is a guess,
// or the reader asks to see it without one.
import { asNumber, notes } from "./kept.js";

const kept = notes();
const page = location.pathname.split("/").at(-1);

function make(name, attributes, ...children) {
  const element = Object.assign(document.createElement(name), attributes);
  element.append(...children);
  return element;
}

// What belongs to a question: all that follows it in its section, up to the next question.
function following(cell) {
  const found = [];
  for (let next = cell.nextElementSibling; next; next = next.nextElementSibling) {
    if (next.matches("section, .tag_prediction")) break;
    found.push(next);
  }
  return found;
}

function ask(cell, number) {
  const key = `${page} ${number}`;
  const before = kept.guess(key);
  const parts = following(cell);
  const name = `guess-${number}`;
  const field = make("input", { id: name, type: "text", inputMode: "decimal", value: before ?? "", autocomplete: "off" });
  const said = make("p", { className: "said" });
  said.setAttribute("role", "status");
  const show = make("button", { type: "button", textContent: "Show it without a guess" });
  const form = make("form", { className: "guess" }, make("label", { htmlFor: name, textContent: "Your guess" }), field);
  const keep = make("button", { textContent: "Keep it, and look" });
  form.append(keep, show, said);
  const open = (guess) => {
    for (const part of parts) {
      part.hidden = false;
      for (const fold of part.querySelectorAll("details.hide")) if (!part.matches(".tag_check")) fold.open = true;
    }
    show.hidden = true;
    if (!guess) return;
    field.readOnly = keep.hidden = true; // the first guess counts
    said.textContent = `You guessed ${guess}.`;
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const guess = field.value.trim();
    if (asNumber(guess) === null) {
      said.textContent = "Please guess a number.";
      return field.focus();
    }
    kept.keepGuess(key, guess);
    open(kept.guess(key) ?? guess);
  });
  show.addEventListener("click", () => open());
  for (const part of parts) part.hidden = true;
  cell.append(form);
  if (before) open(before);
  addEventListener("beforeprint", () => open());
  return parts;
}

const closed = [...document.querySelectorAll(".cell.tag_prediction")].map(ask).flat();
const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
if (target && closed.some((part) => part.contains(target))) for (const part of closed) part.hidden = false;

// A page counts as read once its end was seen.
function mark() {
  for (const link of document.querySelectorAll(".sidebar-tree a[href], .toctree-wrapper a[href]")) {
    const done = kept.wasRead(link.pathname.split("/").at(-1));
    link.classList.toggle("read", done);
    if (done && !link.querySelector(".tick")) link.append(make("span", { className: "tick", textContent: " ✓", title: "read" }));
  }
}
const end = document.querySelector("footer .related-pages, .related-pages, footer");
if (end && page)
  new IntersectionObserver(([{ isIntersecting }], seen) => {
    if (!isIntersecting || !scrollY) return;
    seen.disconnect();
    kept.keepRead(page);
    mark();
  }).observe(end);
mark();
