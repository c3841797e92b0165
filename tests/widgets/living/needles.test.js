// Needles: turning keeps lengths and products, arcs begin and end where they should, angles are said in words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { arcPoints, inDegrees, product, turned } from "../../../helpers/widgets/living/needles.js";

const close = (one, other) => assert.ok(Math.abs(one - other) < 1e-9, `${one} is not ${other}`);

test("turning both needles changes no product", () => {
  const one = [1.5, -0.5], other = [-2, 0.25];
  for (const angle of [0, 0.3, -2, 700]) {
    close(product(turned(one, angle), turned(other, angle)), product(one, other));
    close(Math.hypot(...turned(one, angle)), Math.hypot(...one));
  }
});

test("a quarter turn goes against the clock", () => {
  const [x, y] = turned([1, 0], Math.PI / 2);
  close(x, 0);
  close(y, 1);
});

test("an arc begins at the start and ends at the needle, after three turns at most", () => {
  for (const angle of [0.1, 2, 7, 50, 9000]) {
    const points = arcPoints(0.4, angle, 90), [x, y] = points.at(-1), first = points[0];
    close(Math.atan2(-first[1], first[0]), 0.4);
    close(Math.cos(Math.atan2(-y, x)), Math.cos(0.4 + angle));
    assert.ok(points.length < 200 && Math.hypot(x, y) > 70);
  }
});

test("angles in words", () => {
  const words = [0, 0.0001, 1, 7, 4096].map(inDegrees);
  assert.deepEqual(words, ["0°", "0.006°", "57°", "1 turn and 41°", "651 turns and 324°"]);
});
