// Numbers as people read them.

const DASH = "–";

// So many significant digits, in powers of ten only where zeros would hide them.
export function significant(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e6 || size < 1e-5
    ? value.toExponential(digits - 1)
    : size >= 10 ** digits ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

export function signed(value, digits = 3) {
  const text = significant(value, digits);
  return value > 0 ? `+${text}` : text;
}

export function bytes(value) {
  if (value < 1e6) return `${(value / 1e3).toFixed(1)} kB`;
  return value >= 1e9 ? `${(value / 1e9).toFixed(2)} GB` : `${(value / 1e6).toFixed(1)} MB`;
}

export function measured(metric, value) {
  if (value === null || value === undefined) return DASH;
  return metric.share ? `${(100 * value).toFixed(1)} %` : significant(value);
}

export function day(seconds) {
  return new Date(1000 * seconds).toISOString().slice(0, 10);
}
