/** A question at the terminal whose answer is not shown. */
import type { ReadStream } from 'node:tty'

const CTRL_C = '\u0003'
const CTRL_D = '\u0004'
const BACKSPACE: ReadonlySet<string> = new Set(['\b', '\u007f'])

/**
 * @param input a terminal
 * @throws Error when it is given up (Ctrl-C, Ctrl-D)
 */
export async function askSecretly(
  question: string,
  input: ReadStream,
  output: { write(text: string): unknown },
): Promise<string> {
  output.write(question)
  input.setRawMode(true)
  input.setEncoding('utf8')
  try {
    return await lineOf(input)
  } finally {
    input.setRawMode(false)
    input.pause()
    output.write('\n')
  }
}

function lineOf(input: ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let line = ''
    const end = (settle: () => void): void => {
      input.off('data', read)
      settle()
    }
    const read = (chunk: string | Buffer): void => {
      for (const letter of chunk.toString()) {
        if (letter === '\r' || letter === '\n') return end(() => resolve(line))
        if (letter === CTRL_C || letter === CTRL_D) {
          return end(() => reject(new Error('given up at the terminal')))
        }
        if (BACKSPACE.has(letter)) line = line.replace(/.$/u, '')
        else line += letter
      }
    }
    input.on('data', read)
    input.resume()
  })
}
