/** `midge health`: exit code 0 when a running broker says it is ready; for HEALTHCHECK and scripts. */
import { messageOf } from '../core/errors.ts'

const TIMEOUT_MS = 3000

/** @returns the exit code */
export async function checkHealth(url: string | undefined): Promise<number> {
  const port = process.env['MIDGE_HTTP_PORT'] ?? '8080'
  const target = url ?? `http://127.0.0.1:${port}/ready`
  try {
    const answer = await fetch(target, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    process.stdout.write(`${(await answer.text()).trim()}\n`)
    return answer.ok ? 0 : 1
  } catch (err) {
    process.stderr.write(`midge: ${target} does not answer: ${messageOf(err)}\n`)
    return 1
  }
}
