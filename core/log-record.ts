/** One line of our log, parsed. */
export type LogRecord = Readonly<Record<string, unknown>>

/** As text on one line: what a client chose must not begin another. Empty for what is no text or number. */
export function textOf(record: LogRecord, key: string): string {
  const value = record[key]
  const text = typeof value === 'string' ? value : typeof value === 'number' ? String(value) : ''
  // oxlint-disable-next-line no-control-regex
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/gu, '?')
}
