// What a reader's browser keeps: guesses and pages, whatever state its storage is in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { asNumber, notes } from "../../site/static/kept.js";

function storage(text = null) {
  const kept = { text, getItem: () => kept.text, setItem: (_, now) => (kept.text = now) };
  return kept;
}

test("a guess and a page are found again", () => {
  const shelf = storage();
  notes(() => shelf).keepGuess("a.html 0", "3");
  notes(() => shelf).keepRead("a.html");
  const later = notes(() => shelf);
  assert.deepEqual([later.guess("a.html 0"), later.guess("a.html 1")], ["3", undefined]);
  assert.deepEqual([later.wasRead("a.html"), later.wasRead("b.html")], [true, false]);
});

test("a guess is a number, as the notebook reads it", () => {
  assert.deepEqual(["3", " -1.5 ", "1,024", "1e3"].map(asNumber), [3, -1.5, 1024, 1000]);
  assert.deepEqual(["", "lots", "3 floors", "Infinity", ","].map(asNumber), [null, null, null, null, null]);
});

test("the first guess counts, and a page is listed once", () => {
  const shelf = storage(), kept = notes(() => shelf);
  for (const guess of ["3", "9"]) kept.keepGuess("a.html 0", guess);
  for (const page of ["a.html", "a.html"]) kept.keepRead(page);
  assert.deepEqual(JSON.parse(shelf.text), { guesses: { "a.html 0": "3" }, pages: ["a.html"] });
});

const DAMAGED = ["", "{", "null", "7", '"text"', "[]", "{}", '{"guesses":null,"pages":[]}', '{"guesses":{"q":{}},"pages":{}}', '{"pages":"a.html"}'];
for (const text of DAMAGED)
  test(`storage that holds ${text || "nothing"} counts as empty, and is put right`, () => {
    const shelf = storage(text), kept = notes(() => shelf);
    assert.deepEqual([kept.guess("q"), kept.wasRead("a.html")], [undefined, false]);
    kept.keepGuess("q", "3");
    kept.keepRead("a.html");
    assert.deepEqual([kept.guess("q"), kept.wasRead("a.html")], ["3", true]);
  });

test("guesses survive where the pages are damaged", () => {
  const kept = notes(() => storage('{"guesses":{"q":"3"},"pages":7}'));
  assert.deepEqual([kept.guess("q"), kept.wasRead("a.html")], ["3", false]);
});

test("full storage keeps what it has", () => {
  const full = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  const kept = notes(() => ({ ...storage('{"guesses":{"q":"3"},"pages":[]}'), setItem: full }));
  kept.keepGuess("r", "4");
  kept.keepRead("a.html");
  assert.deepEqual([kept.guess("q"), kept.guess("r"), kept.wasRead("a.html")], ["3", undefined, false]);
});

test("a browser that refuses storage, or has none, breaks nothing", () => {
  const refused = () => {
    throw new DOMException("refused", "SecurityError");
  };
  for (const none of [refused, () => undefined]) {
    const kept = notes(none);
    kept.keepGuess("q", "3");
    kept.keepRead("a.html");
    assert.deepEqual([kept.guess("q"), kept.wasRead("a.html")], [undefined, false]);
  }
});
