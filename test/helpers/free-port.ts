import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { codeOf } from '../../core/errors.ts'

/** Below the ports that systems give to those who ask for any: nobody gets one of these by chance. */
const [FIRST, END] = [15_000, 30_000]

/** A port of 127.0.0.1 that nobody listened on a moment ago, for a program that takes no 0. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST, END)
    const probe = createServer().listen(port, '127.0.0.1')
    try {
      await once(probe, 'listening')
    } catch (err) {
      if (codeOf(err) !== 'EADDRINUSE') throw err
      continue
    }
    probe.close()
    await once(probe, 'close')
    return port
  }
}

/** As many different ones. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) ports.add(await freePort())
  return [...ports]
}
