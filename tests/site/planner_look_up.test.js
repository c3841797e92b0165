// The planner looks up; what it looks up is Python's. Here: which plan is asked for, and the bar's parts.
import assert from "node:assert/strict";
import { test } from "node:test";
import { addressOf, answerTo, firstChoice, widths } from "../../site/static/planner_look_up.js";

const CHOICES = { model: ["Qwen3-8B", "Llama-3.1-8B"], card: ["RTX 4090", "M4 Max 128GB"], weights: ["bf16"], cache: ["fp16"], context: [4096, 32768] };
const FIRST = { model: "Llama-3.1-8B", card: "RTX 4090", weights: "bf16", cache: "fp16", context: 32768 };
const AT_FIRST = { ...FIRST, context: "32768" };

test("without an address, and with a foolish one, the page's own choice is shown", () => {
  for (const address of ["", "#", "#planner", "#model=GPT-9&context=5", "#context=32768.0&card=", "#%E0%A4%A"])
    assert.deepEqual(firstChoice(address, CHOICES, FIRST), AT_FIRST);
});

test("an address asks for a plan, in part or in full, and leads back to it", () => {
  assert.deepEqual(firstChoice("#model=Qwen3-8B&context=4096", CHOICES, FIRST), { ...AT_FIRST, model: "Qwen3-8B", context: "4096" });
  const chosen = { model: "Qwen3-8B", card: "M4 Max 128GB", weights: "bf16", cache: "fp16", context: "4096" };
  assert.deepEqual(firstChoice(addressOf(chosen), CHOICES, FIRST), chosen);
});

test("an answer is found by card, formats and context", () => {
  const answers = { "RTX 4090,bf16,fp16,4096": [0, 15, 1, 2, 3, 24, "It fits"], "RTX 4090,bf16,fp16,32768": [1, 15, 8, 2, 3, 24, "Perhaps"] };
  const expected = { fit: 1, weights: 15, cache: 8, least: 2, most: 3, machine: 24, verdict: "Perhaps" };
  assert.deepEqual(answerTo(answers, AT_FIRST), expected);
  assert.throws(() => answerTo(answers, { ...AT_FIRST, cache: "q4_0" }));
});

test("the bar holds what is needed and the machine, whichever is more", () => {
  const roomy = widths({ weights: 5, cache: 2, least: 1, most: 3, machine: 20 });
  assert.deepEqual(roomy, { parts: [25, 10, 5, 10], limit: 100 });
  const tight = widths({ weights: 30, cache: 5, least: 1, most: 5, machine: 20 });
  assert.deepEqual(tight, { parts: [75, 12.5, 2.5, 10], limit: 50 });
});
