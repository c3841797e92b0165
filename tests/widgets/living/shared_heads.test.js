import assert from "node:assert/strict";
import { test } from "node:test";

import { layout, nearest, stripPlaces } from "../../../helpers/widgets/living/shared_heads.js";

test("a strip stands in the middle of those that read it", () => {
  assert.deepEqual(stripPlaces(4, 4), [0, 1, 2, 3]);
  assert.deepEqual(stripPlaces(4, 2), [0.5, 0.5, 2.5, 2.5]);
  assert.deepEqual(stripPlaces(4, 0), stripPlaces(4, 1));
});

test("a layout has a number for each that moves, whatever the design", () => {
  const frame = { n_heads: 4, bytes: 2, own: 8, width: 2.25 };
  assert.deepEqual(layout({ ...frame, kv_heads: 1 }), [1.5, 1.5, 1.5, 1.5, 0, 1, 0.25]);
  assert.deepEqual(layout({ ...frame, kv_heads: 0 }), [1.5, 1.5, 1.5, 1.5, 1, 2.25, 0.25]);
});

test("another model takes the nearest number of KV heads, and a latent row stays one", () => {
  const frames = [28, 14, 7, 4, 2, 1, 0].map((n) => ({ kv_heads: n }));
  assert.deepEqual([32, 8, 1, 0].map((n) => nearest(frames, n).kv_heads), [28, 7, 1, 0]);
});
