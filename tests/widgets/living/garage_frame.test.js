// The garage's pure parts: what moved, what is empty here and held there, words for figures, chats, and links.
import assert from "node:assert/strict";
import { test } from "node:test";
import { changes, emptyHere, floorsOf, headsHolding, linksOf, mebibytes, percent, places, recordedFrame, sentence } from "../../../helpers/widgets/living/garage_frame.js";
import { signOf, turnsOf } from "../../../helpers/widgets/living/garage_words.js";

const base64 = (...bytes) => Buffer.from(bytes).toString("base64");
const before = { seen: 4, tables: [[7, 3]], rows: { 7: [[0, 1]], 3: [[2, 3]] } };

test("a row that slides is moved, one that goes has left, one that is written came", () => {
  const after = { seen: 5, tables: [[7, 3]], rows: { 7: [[0, 3]], 3: [[4, -2]] } };
  const [was, is] = [before, after].map((frame) => places(frame, [7, 3], 5));
  assert.deepEqual(changes(was, is), { came: [4], left: [2, 1], moved: [3] });
  assert.deepEqual(is.get(3), { floor: 0, slot: 1, head: 0, token: 3 });
});

test("a second conversation's copy of a row is another car", () => {
  const shared = { ...before, tables: [[7], [7, 3]], rows: { 7: [[0, 1]], 3: [[1, -2]] } };
  assert.equal(places(shared, [3, 7], 4).size, 3);
});

test("floors that are drawn are those the story fills, and any other that is held", () => {
  const data = { steps: { false: [{ tables: [[0, 1]] }] } };
  assert.deepEqual(floorsOf(data, { tables: [[1], [4]] }, false), [0, 1, 4]);
  assert.deepEqual(floorsOf({}, { tables: [[2]] }, false, [5]), [2, 5]);
});

test("a floor that is empty in this layer says how many hold it", () => {
  const frame = { layer: 3, rows: { 0: [[-1, -2]], 1: [[-1, 5]], 2: [[-1, -1]] }, layers_holding: { 0: 29, 1: 30, 2: 1 } };
  assert.deepEqual([...emptyHere(frame)], [[0, "empty in layer 3, held by 29 others"], [2, "empty in layer 3, held by 1 other"]]);
  assert.equal(emptyHere({ layer: "all", layers_holding: {} }).size, 0);
});

test("shares are whole per cents, but none is called nothing or all", () => {
  assert.deepEqual([0, 0.001, 0.5, 0.999, 1].map(percent), ["0%", "under 1%", "50%", "over 99%", "100%"]);
  assert.equal(mebibytes(3 * 2 ** 19), "1.50 MiB");
});

test("the sentence says what came back and why not more", () => {
  const frame = { seen: 192, rows_evicted: 9, rows_in_all: 10, floors: 12, floors_back: 0, bytes_held: 0, tables: [Array(12).fill(0)] };
  assert.match(sentence(frame, false), /^90% of the rows evicted, 0 of 12 floors given back: on every floor/);
  assert.match(sentence({ ...frame, floors_back: 9, tables: [[0, 1, 2]] }, false), /on the 3 still open/);
  assert.match(sentence({ ...frame, floors_back: 10, tables: [[0, 1]] }, true), /slid together/);
});

test("what was not recorded has no frame", () => {
  const data = { tokens: ["a", "b"], layers: 1, kv_heads: 1, block_size: 2, prompt: 1, bytes_alive: [0, 1, 2], steps: { false: [{ seen: 0, tables: [[0]], rows_evicted: 0 }] }, stops: { P: { shared: [[], []] } } };
  const choice = { seen: 2, second: false, share: 0, policy: "P", mode: "shared", layer: 0, compact: false, gone: [] };
  assert.deepEqual(recordedFrame(data, choice).rows, { 0: [[0, 1]] });
  assert.equal(recordedFrame(data, { ...choice, share: 0.42 }), null);
  assert.equal(recordedFrame(data, { ...choice, policy: "by hand", gone: [1] }), null);
  assert.deepEqual(recordedFrame(data, { ...choice, policy: "by hand", gone: [] }).rows, { 0: [[0, 1]] });
});

test("heads that hold a token, in one layer and in any", () => {
  const data = { tokens: ["a", "b"], layers: 2, kv_heads: 2, ranks: { P: { m: { layers: 2, heads: 2, base64: base64(0, 1, 0, 1, 1, 0, 0, 1) } } } };
  const choice = { policy: "P", mode: "m", gone: [] };
  assert.deepEqual([...headsHolding(data, choice, { rows_evicted: 4, tables: [[0]], rows: { 0: [[0, -1], [0, 1]] } })], [3, 2]);
  assert.deepEqual([...headsHolding(data, choice, { rows_evicted: 4, tables: [[0]], alive: {}, keep: 1 })], [3, 1]);
});

test("links are pairs of token and share, none where nothing was recorded", () => {
  const data = { tokens: ["a", "b"], n_links: 2, links: { 3: { base64: base64(0, 0, 0, 0, 0, 60, 1, 0) } } };
  assert.deepEqual(linksOf(data, 3, 0, 1), [[0, 0.6]]);
  assert.equal(linksOf(data, 4, 0, 1), null);
});

test("a chat is told apart in turns, and other text is one", () => {
  const turns = turnsOf(["<|im_start|>", "user", "\n", "Hi", "<|im_end|>", "\n", "<|im_start|>", "assistant", "\n", "Ho"]);
  assert.deepEqual(turns[3], [0, "user", true]);
  assert.deepEqual(turns[7], [1, "assistant", false]);
  assert.deepEqual(turnsOf(["a", "b"]), [[0, "", true], [0, "", true]]);
  assert.deepEqual([signOf("\n", "\n", true), signOf("\n", "x", true), signOf("\n", "x", false)], ["⏎", "⏎\n", "⏎"]);
});
