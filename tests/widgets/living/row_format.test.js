import assert from "node:assert/strict";
import { test } from "node:test";

import { heightOf, nearestOf, pulled } from "../../../helpers/widgets/living/row_format.js";

test("what lies beyond the field stands at its edge", () => {
  assert.equal(heightOf(99, 2), heightOf(2, 2));
  assert.equal(heightOf(-99, 2), heightOf(-2, 2));
  assert.equal(heightOf(0, 2), (heightOf(2, 2) + heightOf(-2, 2)) / 2);
  assert.ok(heightOf(1, 2) < heightOf(0.5, 2));
});

test("a hand that goes up makes a number larger, step by step, and no larger than the last", () => {
  const times = [1, 2, 4, 8, 16];
  assert.deepEqual([0, 34, 68, 999].map((pixels) => pulled(times, 1, pixels)), [1, 2, 4, 16]);
  assert.deepEqual([-34, -999].map((pixels) => pulled(times, 8, pixels)), [4, 1]);
});

test("a hand between two numbers takes the nearer", () => {
  assert.deepEqual([-5, 7, 9, 40].map((wanted) => nearestOf([4, 12, 28], wanted)), [4, 4, 12, 28]);
});
