// What a reader guessed and read, kept in this browser alone. A browser may keep nothing, be full, or hold what another
// page wrote there: the page works all the same.
const KEY = "kv-memory-course";

/** The number that a guess is, as the notebook reads it, with commas in it or without; null if it is none. */
export function asNumber(guess) {
  const digits = guess.replace(/[,_]/g, "").trim();
  return digits && Number.isFinite(Number(digits)) ? Number(digits) : null;
}

/** Guesses by question, and pages that were read. `storage` is a function, since its very name may be refused. */
export function notes(storage = () => localStorage) {
  const read = () => {
    try {
      const { guesses, pages } = JSON.parse(storage().getItem(KEY));
      const texts = Object.entries(guesses).filter(([, guess]) => typeof guess === "string");
      return { guesses: Object.fromEntries(texts), pages: Array.isArray(pages) ? pages : [] };
    } catch {
      return { guesses: {}, pages: [] };
    }
  };
  const keep = (change) => {
    const now = read();
    change(now);
    try {
      storage().setItem(KEY, JSON.stringify(now));
    } catch {
      // nothing is kept
    }
  };
  return {
    guess: (question) => read().guesses[question],
    keepGuess: (question, guess) => keep(({ guesses }) => (guesses[question] ??= guess)), // the first guess counts
    wasRead: (page) => read().pages.includes(page),
    keepRead: (page) => keep(({ pages }) => pages.includes(page) || pages.push(page)),
  };
}
