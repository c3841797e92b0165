import assert from "node:assert/strict";
import { test } from "node:test";

import { attendWords, foot, held, verdict } from "../../../helpers/widgets/living/attention_words.js";
import { arrow, between } from "../../../helpers/widgets/living/sheet.js";

test("a product is how far out a key lands on the query's line, times the query's length", () => {
  for (const [query, key] of [[[1, 2], [0.5, -1]], [[-0.3, 0.7], [2, 2]]]) {
    const [x, y] = foot(query, key);
    const along = (x * query[0] + y * query[1]) / Math.hypot(...query);
    const { products } = attendWords(query, [key], [[0, 0]]);
    assert.ok(Math.abs(along * Math.hypot(...query) - products[0]) < 1e-12);
    assert.ok(Math.abs((key[0] - x) * query[0] + (key[1] - y) * query[1]) < 1e-12);
  }
  assert.deepEqual(foot([0, 0], [1, 1]), [0, 0]);
});

test("shares add up to one and large products do not overflow", () => {
  const { shares } = attendWords([1000, 0], [[1, 0], [-1, 0]], [[1, 1], [0, 0]]);
  assert.deepEqual(shares, [1, 0]);
});

test("the verdict names words by falling share", () => {
  assert.deepEqual(verdict(["a", "b"], [0.25, 0.75]), { winner: 1, line: "“b” wins. Shares: b 75%, a 25%." });
});

test("a query is held inside the plane", () => {
  assert.deepEqual(held(30, 40), [1.2, 1.6]);
  assert.deepEqual(held(0, 0), [0, 0]);
  assert.deepEqual(held(0.123, -1), [0.12, -1]);
});

test("motion begins and ends where it should", () => {
  assert.deepEqual(between([0, 10], [4, 10], 0), [0, 10]);
  assert.deepEqual(between([0, 10], [4, 20], 0.5), [2, 15]);
});

test("an arrow has a head unless it is too short for one", () => {
  assert.equal(arrow(0, 0, 5, 0), "M0.0 0.0L5.0 0.0");
  assert.equal(arrow(0, 0, 100, 0, 10), "M0.0 0.0L100.0 0.0M90.0 -5.0L100.0 0.0L90.0 5.0");
});
