import assert from "node:assert/strict";
import { test } from "node:test";

import { advance, whole } from "../../../helpers/widgets/living/same_story.js";

test("a lane goes on from where it is, at the speed of the moment, and stops at the end", () => {
  assert.equal(advance(0, 10, 0.5, 100), 5);
  assert.equal(advance(5, 2, 1, 100), 7);
  assert.equal(advance(5, 2, 1000, 100), 100);
});

test("a token stands there when it is whole, whatever the frames add up to", () => {
  assert.equal(whole(2.999), 2);
  assert.equal(whole(Array(30).fill(0.1).reduce((sum, each) => sum + each, 0)), 3);
});
