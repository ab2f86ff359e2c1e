/** A password from whoever types it, without showing it, or from a pipe. */
import type { Readable } from 'node:stream'
import { OperationalError } from '../core/errors.ts'

/** Bytes of UTF-8: what a CONNECT can carry (MQTT 3.1.1 §1.5.3). */
export const MAX_PASSWORD_BYTES = 65_535
const MAX_PIPED = 3 * MAX_PASSWORD_BYTES

export interface Keyboard extends Readable {
  readonly isTTY?: boolean
  setRawMode?(raw: boolean): unknown
}

/** With the text mosquitto_passwd has for it. */
export class PasswordRefused extends OperationalError {
  constructor(message: string) {
    super('PASSWORD_REFUSED', message)
  }
}

/**
 * On a terminal: asked for twice, not shown. From a pipe: its first line; a second one must be the
 * same.
 *
 * @throws PasswordRefused
 */
export async function askPassword(
  keyboard: Keyboard,
  prompt: (text: string) => void,
): Promise<string> {
  const [first, second] =
    keyboard.isTTY === true && keyboard.setRawMode !== undefined
      ? await typed(keyboard, prompt)
      : await piped(keyboard)
  if (first === '') throw new PasswordRefused('Empty password.')
  if (second !== undefined && first !== second) {
    throw new PasswordRefused('Passwords do not match.')
  }
  return checkedPassword(first)
}

/** @throws PasswordRefused */
export function checkedPassword(password: string): string {
  if (password === '') throw new PasswordRefused('Empty password.')
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES) {
    throw new PasswordRefused('Password must be less than 65536 characters long.')
  }
  return password
}

async function piped(input: Readable): Promise<[string, string | undefined]> {
  let text = ''
  input.setEncoding('utf8')
  for await (const piece of input) {
    text += String(piece)
    if (text.length > MAX_PIPED) throw new PasswordRefused('More input than a password has.')
  }
  const [first = '', second, ...more] = text.replace(/\r?\n$/u, '').split(/\r?\n/u)
  if (more.length > 0) throw new PasswordRefused('Expected one line of input, or the same twice.')
  return [first, second]
}

async function typed(
  keyboard: Keyboard,
  prompt: (text: string) => void,
): Promise<[string, string]> {
  keyboard.setRawMode?.(true)
  keyboard.setEncoding('utf8')
  try {
    prompt('Password: ')
    const lines: string[] = []
    let line = ''
    for await (const piece of keyboard) {
      for (const key of String(piece)) {
        if (key === CTRL_C || (key === CTRL_D && line === '')) {
          prompt('\n')
          throw new PasswordRefused('Nothing was changed.')
        }
        if (key === '\r' || key === '\n') {
          prompt('\n')
          lines.push(line)
          line = ''
          const [first, second] = lines
          if (first !== undefined && second !== undefined) return [first, second]
          prompt('Reenter password: ')
        } else if (key === BACKSPACE || key === '\b') {
          line = line.replace(/.$/su, '')
        } else if (key === CTRL_U) {
          line = ''
        } else if (key >= ' ') {
          line += key
        }
      }
    }
    prompt('\n')
    throw new PasswordRefused('Nothing was changed.')
  } finally {
    keyboard.setRawMode?.(false)
  }
}

const CTRL_C = '\u0003'
const CTRL_D = '\u0004'
const CTRL_U = '\u0015'
const BACKSPACE = '\u007f'
