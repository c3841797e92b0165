// The planner without its page: which plan is asked for, and what Python computed for it.

/** What is chosen at first: for each field what the address asks for, if that may be chosen, or else the page's own. */
export function firstChoice(address, choices, first) {
  const asked = Object.fromEntries(new URLSearchParams(address.replace(/^#/, "")));
  const chosen = (name, values) => (values.map(String).includes(asked[name]) ? asked[name] : String(first[name]));
  return Object.fromEntries(Object.entries(choices).map(([name, values]) => [name, chosen(name, values)]));
}

/** The end of an address that asks for a choice. */
export function addressOf(choice) {
  return `#${new URLSearchParams(choice)}`;
}

/** A model's answer to a choice; sizes in GiB, the fit as a number of the page's words. */
export function answerTo(answers, { card, weights: format, cache: cacheFormat, context }) {
  const [fit, weights, cache, least, most, machine, verdict] = answers[[card, format, cacheFormat, context].join(",")];
  return { fit, weights, cache, least, most, machine, verdict };
}

/** Where the bar's parts begin and end, in per cent of it: weights, cache, overhead, its uncertain end; the machine. */
export function widths({ weights, cache, least, most, machine }) {
  const percent = 100 / Math.max(machine, weights + cache + most);
  return { parts: [weights, cache, least, most - least].map((size) => size * percent), limit: machine * percent };
}
