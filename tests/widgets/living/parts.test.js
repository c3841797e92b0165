// How a picture asks: one question at a time, the latest of those that wait, and the record where nobody answers.
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { answers, still } from "../../../helpers/widgets/living/parts.js";

function kernel() {
  const asked = [], shown = [], refused = [];
  let hear;
  const model = { send: (message) => asked.push(message), on: (_, handler) => (hear = handler), off: () => (hear = null) };
  const recorded = (choice) => (choice < 10 ? `recorded ${choice}` : null);
  const { ask, stop } = answers(model, recorded, (frame) => shown.push(frame), (words) => refused.push(words));
  return { asked, shown, refused, ask, stop, hear: (answer) => hear?.(answer) };
}

test("of questions that wait only the latest is asked", () => {
  const { asked, shown, ask, hear, stop } = kernel();
  for (const choice of [1, 2, 3]) ask(choice);
  assert.deepEqual(asked, [{ ask: 1, id: 1 }]);
  hear({ id: 1, frame: "one" });
  assert.deepEqual(asked.at(-1), { ask: 3, id: 2 });
  hear({ id: 1, frame: "late" });
  hear({ id: 2, frame: "three" });
  assert.deepEqual(shown, ["one", "three"]);
  stop();
});

test("a refusal is said, and the next question is asked", () => {
  const { asked, refused, ask, hear, stop } = kernel();
  ask(1);
  ask(2);
  hear({ id: 1, refused: "share is 2; it may be 0 to 1" });
  assert.deepEqual(refused, ["share is 2; it may be 0 to 1"]);
  assert.equal(asked.length, 2);
  stop();
});

test("a kernel that says nothing is taken for none", () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const { shown, refused, ask } = kernel();
  ask(5);
  mock.timers.tick(10_000);
  ask(50);
  mock.timers.tick(10_000);
  mock.timers.reset();
  assert.deepEqual(shown, ["recorded 5"]);
  assert.match(refused[0], /not recorded.*kernel/);
});

test("a page without a kernel plays the record at once", () => {
  const shown = [];
  const { ask } = answers(still({ choice: 1 }), (choice) => choice + 1, (frame) => shown.push(frame), assert.fail);
  ask(1);
  assert.deepEqual(shown, [2]);
});
