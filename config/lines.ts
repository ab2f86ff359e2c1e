/**
 * The lines of Mosquitto's own files, cut as its C library cuts them: blanks are the six of `isspace`
 * in the C locale, so a no-break space is part of a name.
 */

const BLANKS = ' \t\n\v\f\r'

/** One line of a file; `number` counts from 1. */
export interface Line {
  readonly number: number
  readonly text: string
}

/** Lines end with LF or CRLF; blanks at their end are cut. */
export function* linesOf(text: string): Generator<Line> {
  let start = 0
  for (let number = 1; start <= text.length; number++) {
    const newline = text.indexOf('\n', start)
    const end = newline === -1 ? text.length : newline
    yield { number, text: trimEnd(text.slice(start, end)) }
    start = end + 1
  }
}

/** Cut by hand: a pattern anchored at the end takes quadratic time over a line of blanks. */
export function trimEnd(text: string): string {
  let end = text.length
  while (end > 0 && BLANKS.includes(text.charAt(end - 1))) end--
  return text.slice(0, end)
}

export function trimBlanks(text: string): string {
  let start = 0
  while (start < text.length && BLANKS.includes(text.charAt(start))) start++
  return trimEnd(text.slice(start))
}

/** U+0000 to U+001F and U+007F. */
export function hasControl(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return /[\u0000-\u001f\u007f]/u.test(text)
}

/** Bytes that are not UTF-8 were read as U+FFFD: two different names would become one. */
export function isDamaged(text: string): boolean {
  return text.includes('\ufffd') || !text.isWellFormed()
}

const MAX_SHOWN = 120

/** Outside text on one line of a message: bounded, control characters escaped. */
export function shown(text: string): string {
  const cut = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
  // oxlint-disable-next-line no-control-regex
  return cut.replace(/[\u0000-\u001f\u007f-\u009f]/gu, (control) => {
    return `\\x${control.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}
