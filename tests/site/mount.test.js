// How a recorded picture takes its still's place, and how the still stays where that fails.
import assert from "node:assert/strict";
import { test } from "node:test";
import { mount } from "../../site/static/mount.js";

// As much of a page as mounting touches: what stands in the figure, and what was added to it.
function page(dataset = {}) {
  const figure = { standing: null, classes: [], dataset: { picture: "garage", choice: '{"seen":41}', plays: "true", ...dataset } };
  const node = (name) => ({ name, hidden: false, replaceWith: (other) => (figure.standing = other) });
  const still = node("still"), caption = Object.assign(node("figcaption"), { textContent: "of this choice" });
  figure.standing = still;
  figure.ownerDocument = { createElement: node };
  figure.querySelector = (selector) => ({ ".still": still, figcaption: caption })[selector];
  figure.classList = { add: (name) => figure.classes.push(name) };
  return { figure, still, caption };
}

const parts = { still: (state) => ({ state }) };
const drawnBy = (render) => [{ default: { render } }, parts, { tokens: ["a"], plays: "recorded" }];
const stays = ({ figure, still, caption }) => assert.deepEqual([figure.standing, figure.classes, caption.hidden], [still, [], false]);

for (const [plays, expected] of [["true", "here"], ["false", false]])
  test(`a picture is given the record and the figure's choice; plays is ${expected}`, async () => {
    const { figure, still, caption } = page({ plays });
    const asked = [], drawn = [];
    await mount(figure, async (name) => (asked.push(name), drawnBy(({ model, el }) => drawn.push([model.state, el, figure.standing]))));
    assert.deepEqual(asked, ["garage"]);
    const [[state, el, standing]] = drawn;
    assert.deepEqual(state, { data: { caption: "of this choice", tokens: ["a"], plays: expected }, choice: { seen: 41 } });
    assert.ok(el === standing && el !== still); // it stands on the page while it is drawn
    assert.deepEqual([caption.hidden, figure.classes], [true, ["alive"]]);
  });

test("a caption that was recorded fits every choice", async () => {
  const drawn = [], render = ({ model }) => drawn.push(model.state.data.caption);
  await mount(page().figure, async () => [{ default: { render } }, parts, { caption: "of all" }]);
  assert.deepEqual(drawn, ["of all"]);
});

test("the still stays where the record does not come", async () => {
  const shown = page();
  await assert.rejects(mount(shown.figure, () => Promise.reject(new Error("gone"))), /gone/);
  stays(shown);
});

test("the still comes back where drawing fails, at once or later", async () => {
  const failures = [() => assert.fail("cannot draw"), () => Promise.reject(new Error("cannot draw"))];
  for (const render of failures) {
    const shown = page();
    await assert.rejects(mount(shown.figure, async () => drawnBy(render)), /cannot draw/);
    stays(shown);
  }
});

test("the still stays where the choice cannot be read", async () => {
  const shown = page({ choice: "{" });
  await assert.rejects(mount(shown.figure, async () => drawnBy(assert.fail)), SyntaxError);
  stays(shown);
});
