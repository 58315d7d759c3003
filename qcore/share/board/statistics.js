// Paired statistics over windows, as the dashboard's own (docs/evaluation.md): a bootstrap over
// windows whose percentiles are stretched for few of them. The draws are another generator's, so
// ends of intervals differ from the command line's by the noise of 10,000 resamples.

const RESAMPLES = 10000;
const MANY = 10000;

// Numbers in [0, 1) from a seed (mulberry32): the same board always shows the same intervals.
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

// Linear between neighbours, as numpy's.
export function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

// mean(statistic of b) − mean(statistic of a), resampled in pairs; `through` maps a mean loss to
// what is compared, such as exp for perplexities.
export function paired(a, b, stretch, through = (value) => value) {
  const count = Math.min(a.length, b.length);
  const first = a.slice(0, count);
  const second = b.slice(0, count);
  const base = through(mean(first));
  const value = through(mean(second));
  const found = { base, value, gap: value - base, low: null, high: null, count };
  if (count < 2) return found;
  const random = generator(0);
  const gaps = new Float64Array(RESAMPLES);
  for (let at = 0; at < RESAMPLES; at += 1) {
    let one = 0;
    let other = 0;
    for (let draw = 0; draw < count; draw += 1) {
      const window = Math.floor(random() * count);
      one += first[window];
      other += second[window];
    }
    gaps[at] = through(other / count) - through(one / count);
  }
  gaps.sort();
  found.low = found.gap + stretch * (quantile(gaps, 0.025) - found.gap);
  found.high = found.gap + stretch * (quantile(gaps, 0.975) - found.gap);
  return found;
}

// Newcombe's interval of the difference of two shares with Wilson intervals: [value, low, high].
export function shares(a, b) {
  const found = { base: a[0], value: b[0], gap: b[0] - a[0], low: null, high: null, count: b[3] };
  if ([a[1], a[2], b[1], b[2]].includes(null)) return found;
  found.low = found.gap - Math.hypot(b[0] - b[1], a[2] - a[0]);
  found.high = found.gap + Math.hypot(b[2] - b[0], a[0] - a[1]);
  return found;
}

// true: better; false: worse; null: open.
export function better(found, higher) {
  if (found.low === null || (found.low <= 0 && found.high >= 0)) return null;
  return found.gap > 0 === higher;
}

export function verdict(found) {
  if (found.low === null) {
    const word = found.gap < 0 ? "lower" : "higher";
    return `Loss ${word} by ${Math.abs(found.gap).toPrecision(2)} nats per token on one window: no interval.`;
  }
  const [near, far] = [Math.abs(found.low), Math.abs(found.high)].sort((one, other) => one - other);
  const told = better(found, false);
  if (told !== null) {
    const least = Math.min(...[Math.abs(found.gap), near, far].filter((value) => value > 0));
    const decimals = Math.min(6, Math.max(0, 1 - Math.floor(Math.log10(least))));
    const shown = [Math.abs(found.gap), near, far].map((value) => value.toFixed(decimals));
    return `${told ? "Better" : "Worse"} by ${shown[0]} [${shown[1]}, ${shown[2]}] nats per token.`;
  }
  const said = `Cannot be told from the baseline on ${found.count} windows`;
  if (found.gap === 0) return `${said}.`;
  const half = found.gap > 0 ? found.gap - found.low : found.high - found.gap;
  const needed = Math.max(found.count + 1, Math.ceil(found.count * (half / Math.abs(found.gap)) ** 2));
  return needed > MANY
    ? `${said}; more than ${MANY.toLocaleString("en")} would be needed.`
    : `${said}; about ${needed} would do if the difference stays.`;
}

// Places of the runs that no other run beats at their size or below, smallest first.
export function front(sizes, scores, higher) {
  const order = sizes.map((_, place) => place)
    .filter((place) => Number.isFinite(sizes[place]) && Number.isFinite(scores[place]));
  const loss = (place) => (higher ? -scores[place] : scores[place]);
  order.sort((one, other) => sizes[one] - sizes[other] || loss(one) - loss(other));
  let best = Infinity;
  return order.filter((place) => {
    const ahead = loss(place) < best;
    best = Math.min(best, loss(place));
    return ahead;
  });
}
