// The garage's moments: rows from recorded ranks, what moved between two of them, and what to say about one.
// Tables, floors and bytes are Python's, as recorded or as answered; here rows are laid into blocks that it names.

const GONE = -1, NEVER = -2; // in place of a token: its row was evicted; nothing was written there yet

/** The bytes of base64 text. */
export function unpack(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** True where the row of a token in a layer and head is kept, of the rows that a policy and mode rank. */
export function keeper(data, { policy, mode }, keep) {
  const ranks = data.ranks[policy][mode], { layers, heads } = ranks, n = data.tokens.length;
  const bytes = (ranks.bytes ??= unpack(ranks.base64));
  return (layer, head, token) => bytes[((layer % layers) * heads + (head % heads)) * n + token] < keep;
}

/** Python's tables and figures as the story was written: those of the last step that changed them. */
export function written(data, { seen, second }) {
  const step = data.steps[second].findLast((each) => each.seen <= seen);
  return { ...step, seen, rows_in_all: seen * data.layers * data.kv_heads, bytes_alive: data.bytes_alive[seen] };
}

/** The frame of a choice from what was recorded, or null where that choice was not. */
export function recordedFrame(data, choice) {
  const { seen, second, share, policy, layer } = choice, whole = seen === data.tokens.length;
  const byHand = policy === "by hand", evicts = byHand ? choice.gone.some((token) => token < seen) : whole && share > 0;
  if (!data.steps || (evicts && (second || !whole))) return null;
  if (!evicts) return { ...written(data, choice), layer, ...laid(data, choice, written(data, choice), () => true) };
  const stop = byHand ? data.hands?.find(({ gone, compact }) => compact === choice.compact && `${gone}` === `${choice.gone}`) : data.stops[policy][choice.mode][Number(choice.compact)].find((each) => Math.abs(each.share - share) < 1e-6);
  return stop ? { ...stop, layer, ...laid(data, choice, stop, byHand ? (_, __, token) => !stop.gone.includes(token) : keeper(data, choice, stop.keep)) } : null;
}

/** A frame with cars of another weight, as Python's `weighed`: the same floors, other bytes. */
export function weighed({ cars, full_bytes: full }, { car }, frame) {
  const weights = new Map(cars), one = weights.get(car), [first] = weights.values(), most = Math.max(...weights.values());
  const told = ["bytes_held", "bytes_alive", "bytes_back"].map((name) => [name, (frame?.[name] * one) / first]);
  return frame && one ? { ...frame, ...Object.fromEntries(told), car_bytes: one, car_share: one / most, full_bytes: (full * most) / first } : frame;
}

/** Rows (or, for all layers, the share of each aisle's layers that have them) in the blocks that a frame lists. */
export function laid(data, { seen, layer, second, compact }, frame, kept) {
  const { block_size: size, kv_heads: heads } = data, before = written(data, { seen, second }).tables;
  const aisles = layer === "all" ? data.aisles : [[layer, layer + 1]], blocks = {};
  const fill = (table, listed, count, has, slides) => {
    for (const block of listed) blocks[block] = aisles.map(() => Array.from({ length: heads }, () => Array(size).fill(NEVER)));
    aisles.forEach(([first, end], aisle) => {
      for (let head = 0; head < heads; head++) {
        for (let of = first; of < end; of++) {
          for (let token = 0, place = 0; token < count; token++) {
            const here = has(of, head, token), at = slides ? place : token, lane = blocks[(slides ? listed : table)[Math.floor(at / size)]]?.[aisle][head];
            place += here;
            if (!lane || (slides && !here)) continue;
            if (layer === "all") lane[at % size] = Math.max(lane[at % size], 0) + here / (end - first);
            else lane[at % size] = here ? token : GONE;
          }
        }
      }
    });
  };
  if (second) fill(before[1], frame.tables[1], Math.min(seen, data.prompt), () => 1, false);
  fill(before[0], frame.tables[0], seen, (...row) => Number(kept(...row)), compact && "keep" in frame);
  return layer === "all" ? { alive: blocks } : { rows: Object.fromEntries(Object.entries(blocks).map(([block, [only]]) => [block, only])) };
}

/** The blocks that are drawn, as floors from the ground up: all that the story fills, and any other that is held. */
export function floorsOf(data, frame, second, before = []) {
  const filled = data.steps ? data.steps[second].at(-1).tables : [before]; // of a run that goes on, what was drawn before
  return [...new Set([...filled, ...frame.tables].flat())].sort((a, b) => a - b);
}

/** Where each row lies: from head and token to floor and slot; a copy for the second conversation counts by itself. */
export function places({ rows, tables }, floors, nTokens) {
  const found = new Map();
  for (const [block, lanes] of Object.entries(rows ?? {})) {
    const floor = floors.indexOf(Number(block)), copy = tables[0].includes(Number(block)) ? 0 : 1;
    lanes.forEach((lane, head) => lane.forEach((token, slot) => {
      if (token >= 0) found.set((copy * lanes.length + head) * nTokens + token, { floor, slot, head, token });
    }));
  }
  return found;
}

/** What changed between two moments: rows that came, rows that left, and rows that moved to another slot. */
export function changes(before, after) {
  const came = [], left = [], moved = [];
  for (const [key, place] of after) {
    const was = before.get(key);
    if (!was) came.push(key);
    else if (was.floor !== place.floor || was.slot !== place.slot) moved.push(key);
  }
  for (const key of before.keys()) if (!after.has(key)) left.push(key);
  return { came, left, moved };
}

/** Per token, bit by bit, the KV heads that have its row: in the layer shown, or where all are shown in any of them. */
export function headsHolding(data, choice, frame) {
  const n = data.tokens.length, bits = new Uint8Array(n), every = 2 ** data.kv_heads - 1;
  for (const { head, token } of places(frame, [], n).values()) bits[token] |= 1 << head;
  if (frame.rows) return bits;
  if (!frame.rows_evicted || !data.ranks) return bits.fill(every);
  if (choice.policy === "by hand") return bits.map((_, token) => (choice.gone.includes(token) ? 0 : every));
  const has = keeper(data, choice, frame.keep), { layers } = data.ranks[choice.policy][choice.mode];
  for (let token = 0; token < n; token++) {
    for (let layer = 0; layer < layers; layer++) for (let head = 0; head < data.kv_heads; head++) bits[token] |= has(layer, head, token) << head;
  }
  return bits;
}

/** The floors of which the layer shown has no row left while others hold them: from block to what to say there. */
export function emptyHere({ rows, layer, layers_holding: holding }) {
  const empty = Object.entries(rows ?? {}).filter(([block, lanes]) => holding[block] && !lanes.some((lane) => lane.some((token) => token >= 0)));
  return new Map(empty.map(([block]) => [Number(block), `empty in layer ${layer}, held by ${holding[block]} ${holding[block] === 1 ? "other" : "others"}`]));
}

/** A sentence or two from a frame's figures: how much went, how much came back, and why. */
export function sentence({ seen, rows_evicted: gone, rows_in_all: all, floors, floors_back: back, bytes_held: held, tables, car_bytes: car }, compact) {
  const floor = (n) => `${n} ${n === 1 ? "floor" : "floors"}`;
  if (!gone && tables.length > 1) {
    const shared = tables[1].filter((block) => tables[0].includes(block)).length, inAll = new Set(tables.flat()).size;
    return `${seen} tokens on ${floor(floors)}. A second conversation shares ${shared} of them: ${floor(inAll)} in all, ${mebibytes(held)} held.`;
  }
  if (!gone) return `${seen} tokens on ${floor(floors)}, ${mebibytes(held)} held. ${car ? `A car weighs ${car} bytes.` : "Nobody leaves while the model writes."}`;
  const start = `${percent(gone / all)} of the rows evicted, ${back} of ${floor(floors)} given back: `, open = tables[0].length;
  if (tables.length > 1) return `${start}what a second conversation still reads stays.`;
  if (compact) return `${start}the rows that are left slid together.`;
  return `${start}${open === floors ? "on every floor" : `on the ${open} still open`} some head of some layer still has a car.`;
}

/** A share in per cent: whole, but never 0% or 100% of what is neither. */
export function percent(share) {
  const whole = Math.round(100 * share);
  return share > 0 && whole === 0 ? "under 1%" : share < 1 && whole === 100 ? "over 99%" : `${whole}%`;
}

/** Bytes as MiB with two digits. */
export function mebibytes(bytes) {
  return `${(bytes / 2 ** 20).toFixed(2)} MiB`;
}

/** The strongest links of a token in a layer and head: pairs of token and share, or null where none were recorded. */
export function linksOf(data, layer, head, token) {
  const links = data.links?.[layer];
  if (!links) return null;
  const bytes = (links.bytes ??= unpack(links.base64)), first = (head * data.tokens.length + token) * data.n_links * 2;
  return Array.from({ length: data.n_links }, (_, i) => [bytes[first + 2 * i], bytes[first + 2 * i + 1] / 100])
    .filter(([, share]) => share > 0);
}
