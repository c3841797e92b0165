// The two walls behind two buttons.
import { answers, html, press, stage } from "./parts.js";
import { holesFrame, holesView } from "./walls_holes.js";
import { tilesView } from "./walls_tiles.js";

const VIEWS = { holes: holesView, tiles: tilesView };
const WALL_NAMES = { holes: "Wall 1: holes", tiles: "Wall 2: the grid" };

/** The entry of the picture. */
export function render({ model, el }) {
  const data = model.get("data"), { body, figure, say } = stage(el, "The two walls", "");
  figure.prepend(html("style", {}, WALLS_STYLE));
  const panel = html("div"), tabs = html("div", { class: "living-controls", role: "group", "aria-label": "Which wall" });
  let choice = { ...model.get("choice") }, show = null, stop = () => {};
  const asking = answers(model, (asked) => holesFrame(asked, data.holes), (frame, asked) => choice.wall === "holes" && say(show(frame, asked)), say);
  const draw = () => (choice.wall === "holes" ? asking.ask(choice) : say(show(choice)));
  const turn = (changes) => {
    choice = { ...choice, ...changes };
    model.set("choice", choice);
    model.save_changes();
    draw();
  };
  const open = () => {
    stop();
    panel.replaceChildren();
    ({ show, stop } = VIEWS[choice.wall](panel, data[choice.wall], choice, turn, say));
    buttons.forEach(([wall, button]) => button.setAttribute("aria-pressed", String(wall === choice.wall)));
    figure.querySelector("figcaption").textContent = data.captions[choice.wall];
  };
  const buttons = Object.entries(WALL_NAMES).map(([wall, label]) => [wall, press(label, () => {
    choice = { ...choice, wall };
    open();
    turn({});
  })]);
  tabs.append(...buttons.map(([, button]) => button));
  body.append(tabs, panel);
  open();
  draw();
  return () => (stop(), asking.stop());
}

const WALLS_STYLE = `
.living .living-press[aria-pressed="true"]{background:var(--k0);color:var(--paper);border-color:var(--k0);font-weight:600}
.walls-line{display:flex;align-items:center;margin:3px 0}
.walls-label{width:74px;flex:none;color:var(--soft);font-size:14px}
.walls-row{position:relative;flex:1;height:38px;overflow:hidden}
.walls-row>*{position:absolute;top:2px;width:calc(100%/var(--columns) - 3px);height:34px;display:flex;align-items:center;justify-content:center;border-radius:5px;padding:0!important}
.walls-slot{border:1px dashed var(--soft)}
.walls-empty{opacity:.35}
.living .walls-car{background:var(--deck);border:1px solid var(--soft);color:var(--ink);font-size:14px;transition:transform .7s ease}
.living button.walls-car{cursor:pointer}
.living button.walls-car[aria-pressed="true"]{background:repeating-linear-gradient(45deg,var(--gone) 0 3px,var(--paper) 3px 8px);border-style:dashed;text-decoration:line-through;color:var(--soft)}
.living .walls-car:focus-visible{outline-offset:-3px}
.living .walls-moved{border:2px solid var(--k0);font-weight:600}
.living .walls-new{background:var(--warm);border-color:var(--warm);color:var(--paper);font-weight:700}
.walls-mask{height:22px}
.walls-mask>*{top:1px;height:20px;border-radius:3px;font-size:13px}
.walls-cell{border:1px solid var(--line)}
.walls-seen{color:var(--k0)}
.walls-wrong{background:var(--mark);border:2px solid var(--warm);color:var(--ink);font-weight:700}
.walls-grid p,.tiles-side p{margin:10px 0 2px}
.walls-hint{margin:8px 0 2px}
.walls-verdict{display:flex;flex-wrap:wrap;gap:2px 18px;margin:10px 0 0;padding:0;list-style:none}
.walls-fails{color:var(--warm);font-weight:600}
.walls-sides{display:flex;flex-wrap:wrap;gap:8px 26px}
.tiles-side{flex:1 1 345px;min-width:0}
.tiles-grid{display:grid;grid-template-columns:54px repeat(var(--columns),minmax(0,1fr)) 46px 40px;gap:1px;align-items:stretch}
.tiles-head{height:20px}
.tiles-word{font-size:14px;white-space:nowrap;color:var(--soft)}
.tiles-cell{height:21px;display:flex;align-items:center;justify-content:center;border:1px solid var(--line)}
.tiles-masked{border-color:transparent}
.tiles-past{color:var(--soft);border-style:dotted}
.tiles-kept,.tiles-now{background:color-mix(in srgb,var(--k0) var(--share),var(--paper))}
.tiles-now{border:2px solid var(--warm)}
.tiles-number{font-size:13px;text-align:right;font-variant-numeric:tabular-nums}
.tiles-rose{color:var(--warm);font-weight:700}
.tiles-sum{height:44px;display:flex;align-items:end;border-bottom:1px solid var(--soft)}
.tiles-sum i{width:100%;background:var(--k1)}
.tiles-unknown{height:44px;display:flex;align-items:center;justify-content:center;border-bottom:1px solid var(--soft);font-weight:700}
.walls-gauges{margin-top:10px}
.walls-gauge{display:grid;grid-template-columns:84px 1fr 84px;gap:8px;align-items:center;margin:3px 0}
.walls-gauge b{height:16px;background:var(--deck);border:1px solid var(--line)}
.walls-gauge i{display:block;height:100%;background:var(--k0)}
`;
