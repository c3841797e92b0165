// What stands in the grid and in the tiles after so many steps.
import assert from "node:assert/strict";
import { test } from "node:test";
import { cellsAfter, risen } from "../../../helpers/widgets/living/walls_tiles.js";

const weights = [[1, 0], [0.25, 0.75]];
const steps = [
  { row: 0, column: 0, maximum: [2, null], weights: [[1]] },
  { row: 1, column: 0, maximum: [2, 0], weights: [[1]] },
  { row: 1, column: 1, maximum: [2, 1], weights: [[1]] },
];
const data = { tokens: ["a", "b"], size: 1, weights, steps };
const signs = (cells) => cells.map((row) => row.map(({ sign }) => sign));

test("the grid keeps what a tile forgets", () => {
  const { grid, tiles } = cellsAfter(data, 2);
  assert.deepEqual(signs(grid), [["kept", "masked"], ["kept", ""]]);
  assert.deepEqual(signs(tiles), [["past", "masked"], ["now", ""]]);
  assert.equal(grid[1][0].share, 0.25);
  assert.equal(tiles[1][0].share, 1);
});

test("before the first step nothing is there", () => {
  assert.deepEqual(signs(cellsAfter(data, 0).grid), [["", "masked"], ["", ""]]);
  assert.deepEqual(risen(steps, 0), []);
});

test("a maximum rises where there was a smaller one, not where there was none", () => {
  assert.deepEqual([1, 2, 3].map((count) => risen(steps, count)), [[], [], [1]]);
});
