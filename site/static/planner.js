// The planner's page: it looks up what Python has computed, and draws it. No formula stands here.
import { addressOf, answerTo, firstChoice, widths } from "./planner_look_up.js";

const place = document.getElementById("planner");
const LABELS = { model: "Model", card: "Machine", weights: "Weights in", cache: "Cache in", context: "Tokens of context" };

function make(name, attributes, ...children) {
  const element = Object.assign(document.createElement(name), attributes);
  element.append(...children);
  return element;
}

function bar(answer) {
  const { parts, limit } = widths(answer);
  const row = make("div", { className: "bar" });
  for (const [number, width] of parts.entries()) {
    const part = make("span", { className: `part part-${number}` });
    part.style.width = `${width}%`;
    row.append(part);
  }
  const line = make("span", { className: "limit" });
  line.style.left = `${limit}%`;
  row.append(line);
  row.setAttribute("aria-hidden", "true"); // the table below says the same
  return row;
}

function table({ weights, cache, least, most, machine }) {
  const sizes = [weights, cache, `${least} to ${most}`, machine];
  const parts = { weights: 0, "KV cache": 1, overhead: "band", "the machine": "line" };
  const body = Object.entries(parts).map(([name, part], number) => {
    const swatch = make("span", { className: `swatch part-${part}` });
    return make("tr", {}, make("th", { scope: "row" }, swatch, name), make("td", { textContent: `${sizes[number]} GiB` }));
  });
  return make("table", {}, make("caption", { textContent: "What has to fit, and into what" }), ...body);
}

async function start() {
  const folder = new URL(`${place.dataset.answers}/`, location.href);
  const load = (file) => fetch(new URL(file, folder)).then((answer) => answer.json());
  const { choices, first, files, words } = await load("index.json");
  const chosen = firstChoice(location.hash, choices, first);
  const fields = {};
  const form = make("form", { className: "choices" });
  for (const [name, values] of Object.entries(choices)) {
    const select = make("select", { id: `plan-${name}` });
    for (const value of values) {
      const text = typeof value === "number" ? value.toLocaleString("en") : value;
      select.append(make("option", { value, textContent: text }));
    }
    select.value = chosen[name];
    fields[name] = select;
    form.append(make("label", { htmlFor: select.id, textContent: LABELS[name] }), select);
  }
  const verdict = make("p", { className: "verdict" });
  verdict.setAttribute("role", "status");
  const shown = make("div", {});
  const now = () => Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.value]));
  const look = async () => {
    const choice = now();
    const answers = await load(files[choice.model]);
    if (now().model !== choice.model) return; // another model was chosen while this one's answers came
    const answer = answerTo(answers, now());
    verdict.textContent = `${answer.verdict}.`;
    verdict.dataset.fit = words[answer.fit];
    shown.replaceChildren(bar(answer), table(answer));
    history.replaceState(null, "", addressOf(now()));
  };
  const update = () =>
    look().catch(() => {
      verdict.textContent = "This answer could not be loaded.";
      shown.replaceChildren();
    });
  form.addEventListener("change", update);
  place.replaceChildren(form, verdict, shown);
  await update();
}

if (place) start();
