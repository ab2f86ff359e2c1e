/** numeric keeps at most this many digits after the point (PostgreSQL, NUMERIC_DSCALE_MAX). */
const MAX_SCALE = 16_383

/** A finite double, of a scale and an exponent that numeric takes. `text` is a JSON number. */
export function isStorableNumber(text: string): boolean {
  if (!Number.isFinite(Number(text))) return false
  const [mantissa = '', exponent = '0'] = text.split(/[eE]/u)
  const point = mantissa.indexOf('.')
  const scale = (point === -1 ? 0 : mantissa.length - point - 1) - Number(exponent)
  return scale <= MAX_SCALE && Number(exponent) <= MAX_SCALE
}
