// Needles as numbers: a pair of numbers is a needle, and turning it is all that RoPE does. Held to Python's by a test.

/** A needle turned by an angle in radians. */
export function turned([x, y], angle) {
  const c = Math.cos(angle), s = Math.sin(angle);
  return [x * c - y * s, x * s + y * c];
}

/** How well two needles agree: their dot product. */
export function product([a, b], [c, d]) {
  return a * c + b * d;
}

/** The mean query of a band, `offsets` tokens ahead (their mean), on a card that is turned with the present. */
export function futureQuery(head, band, offsets) {
  const each = offsets.map((offset) => turned(head.q_mean[band], head.omega[band] * offset));
  return [0, 1].map((i) => each.reduce((sum, needle) => sum + needle[i], 0) / each.length);
}

/** A band of a token's key, on the same card. */
export function cachedKey(head, token, band) {
  const row = head.keys[token];
  return turned([row[band], row[band + head.omega.length]], -head.omega[band] * head.position);
}

/** The offsets of a stop of the slider: one distance, or TriAttention's all. */
export function offsetsOf(data, stop) {
  return stop < data.distances.length ? [data.distances[stop]] : data.offsets;
}

/** What `Compass.frame` says of a choice: scores as recorded, and the products of the chosen key. */
export function compassFrame(data, { head: number, stop, key }) {
  const head = data.heads[number], offsets = offsetsOf(data, stop);
  const scores = head.scores[stop] ?? head.mean_score;
  const order = scores.map((_, token) => token).sort((one, other) => scores[other] - scores[one]);
  const products = head.omega.map((_, band) => product(cachedKey(head, key, band), futureQuery(head, band, offsets)));
  return { products, scores, order, kept: order.slice(0, data.kept).sort((one, other) => one - other) };
}

/** The way round from `start` by `angle` radians as points on a circle, winding inwards; at most three turns are drawn. */
export function arcPoints(start, angle, radius) {
  const whole = Math.floor(angle / (2 * Math.PI)), shown = angle - 2 * Math.PI * Math.max(0, whole - 2);
  const count = Math.max(1, Math.ceil(shown / 0.1));
  return Array.from({ length: count + 1 }, (_, i) => {
    const at = (shown * i) / count, r = radius - (4 * at) / (2 * Math.PI);
    return [r * Math.cos(start + at), -r * Math.sin(start + at)];
  });
}

/** An angle in words. */
export function inDegrees(angle) {
  const degrees = (180 * angle) / Math.PI, whole = Math.floor(degrees / 360);
  const short = (value) => (value >= 10 || value === 0 ? String(Math.round(value)) : value >= 0.1 ? value.toFixed(1) : value.toFixed(3));
  return whole ? `${whole.toLocaleString("en")} turn${whole > 1 ? "s" : ""} and ${Math.round(degrees % 360)}°` : `${short(degrees)}°`;
}
