// How the garage looks. Colours are those of `parts.js`; sizes of floors are those of `garage_floors.js`.
export const GARAGE_LOOK = `
.garage{container-type:inline-size}.garage .living-controls{gap:6px 16px;margin:4px 0}.garage [hidden]{display:none}
.garage .living-line{margin:6px 0 10px;font-size:17px;min-height:1.45em}.garage-gauges{display:grid;grid-template-columns:repeat(3,1fr);gap:6px 22px;margin:10px 0 4px}
.garage-gauge{display:grid;align-content:start;font-size:13px;color:var(--soft)}
.garage-number{font-size:clamp(20px,4.4cqw,30px);white-space:nowrap;line-height:1.15;color:var(--ink);font-variant-numeric:tabular-nums}
.garage-bar{position:relative;height:9px;margin:3px 0;border-radius:5px;background:var(--gone);overflow:hidden}
.garage-bar i{position:absolute;inset:0;transform-origin:left;transition:transform .4s}.garage-bar i:first-child{opacity:.4}
.garage-main{display:grid;gap:14px 22px;align-items:start}
@container (max-width:600px){.garage-panel{display:flex;flex-wrap:wrap;gap:5px 12px;align-items:center}.garage-panel .living-controls{display:contents}}
@container (min-width:790px){.garage-main{grid-template-columns:minmax(0,9fr) minmax(0,13fr)}}
.garage-words{position:relative;line-height:1.62}.garage-turn{padding:5px 10px;margin:0 0 7px;border-radius:12px;background:var(--deck);width:fit-content;max-width:100%}
.garage-system{font-size:13px;padding:2px 10px;background:none;border:1px dashed var(--line)}.garage-user{margin-left:auto;border-bottom-right-radius:2px}
.garage-assistant{border-bottom-left-radius:2px}.garage-word{white-space:pre-wrap;border-radius:3px;padding:1px 0 2px;cursor:default}
.garage-sign{font-size:13px;color:var(--soft)}.garage-word[data-state^=later]{visibility:hidden}.garage-word[data-state~=last]{background:var(--mark)}
.garage-word[data-state~=gone]{color:var(--soft);text-decoration:line-through 1.5px}
.garage-thinned .garage-word:not([data-state~=gone]){--a:var(--k0);--b:var(--k1);--c:var(--k2);
background:linear-gradient(90deg,var(--a) 33%,var(--b) 33% 67%,var(--c) 67%) bottom/100% 3px no-repeat}
.garage-thinned .garage-word:is([data-state~=heads2],[data-state~=heads4],[data-state~=heads6]){--a:transparent}
.garage-thinned .garage-word:is([data-state~=heads1],[data-state~=heads4],[data-state~=heads5]){--b:transparent}
.garage-thinned .garage-word:is([data-state~=heads1],[data-state~=heads2],[data-state~=heads3]){--c:transparent}
.living .garage-word.garage-marked{background-color:var(--mark);outline:1px solid var(--warm)}.garage-by-hand :is(.garage-word,.garage-floor){cursor:pointer}
.living .garage-arcs{position:absolute;inset:0;width:100%;height:100%;overflow:visible;pointer-events:none}
.garage-arcs path{fill:none;stroke:var(--warm);stroke-linecap:round;opacity:.85}.garage-arcs circle{fill:var(--warm)}
.garage-look{margin:4px 0 0;min-height:2.9em;font-size:14px;color:var(--soft)}.garage-building{--sign:74px;--side:70px;font-size:13px;color:var(--soft)}
.garage-two{--sign:102px}.garage-roof,.garage-floor{display:grid;grid-template-columns:var(--sign) minmax(0,1fr) var(--side);align-items:center}
.garage-roof{padding:3px 4px;border-radius:8px 8px 0 0;background:var(--deck);border-bottom:3px solid var(--soft);margin-bottom:5px}
.garage-roof>span:last-child,.garage-layers{text-align:right}.garage-legend{display:flex;flex-wrap:wrap;gap:2px 12px;justify-content:center}
.garage-legend i{display:inline-block;width:16px;height:8px;border-radius:2px 4px 4px 2px;margin-right:5px}
.garage-legend em{font-style:normal}.garage-building:not(.garage-all) em{display:none}.garage-stack{position:relative}
.garage-stack canvas{position:absolute;top:0;pointer-events:none}.garage-deck{display:flex;flex-direction:column-reverse}
.garage-floor{height:34px;margin-bottom:5px;padding:0 4px}.garage-floor i{font-style:normal;display:inline-block;min-width:1.8em;color:var(--ink)}
.garage-plates{display:inline-flex;gap:3px}
.garage-plates b,.garage-lists b{font:600 13px ui-monospace,monospace;padding:0 4px;border:1.5px solid var(--ink);border-radius:3px;color:var(--ink);background:var(--paper)}
.garage-bays{position:relative;height:34px;overflow:hidden;border:solid var(--soft);border-width:0 0 2px;
background:repeating-linear-gradient(90deg,var(--line) 0 1px,transparent 1px calc(100%/16)),var(--deck)}.garage-floor[data-state=free]{opacity:.75}
.garage-floor[data-state=free] .garage-bays{background:none;border-style:dashed}
.garage-shutter{position:absolute;z-index:1;inset:0;display:grid;place-items:center;transform:translateY(-101%);transition:transform .5s;color:var(--k1);font-weight:600;
background:repeating-linear-gradient(0deg,var(--gone) 0 1px,var(--paper) 1px 6px)}.garage-floor[data-state=shut] .garage-shutter{transform:none;transition-delay:.3s}
.garage-note{position:absolute;z-index:1;inset:3px 0 auto;width:fit-content;margin:auto;padding:2px 8px;color:var(--ink);font-weight:600;background:var(--deck)}.garage-note:empty{display:none}
.garage-here .garage-bays{box-shadow:inset 0 0 0 2px var(--warm)}.garage-lists{display:grid;gap:4px;margin:8px 0 10px}
.garage-lists div{display:flex;flex-wrap:wrap;gap:3px;align-items:center}.garage-lists span{min-width:84px}
.garage-lists div:last-child b{border-style:dashed;font-weight:400}
`;
