/**
 * A process that owns an embedded server, for tests that kill it or that need another user: says
 * on stdout, in JSON lines, what is logged and `{"ready":…}` or `{"failed":…}`; ends it at `stop`,
 * leaves it at `leave`.
 */
import { randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { systemClock } from '../../core/clock.ts'
import { codeOf, messageOf } from '../../core/errors.ts'
import { createLog } from '../../core/log.ts'
import { startEmbeddedPostgres } from '../../postgres/index.ts'

const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`)
try {
  const embedded = await startEmbeddedPostgres({
    directory: process.argv[2] ?? '',
    log: createLog({ level: 'info', service: 'owner', destination: process.stdout }),
    clock: systemClock,
    random: randomBytes,
  })
  const { connection, pid, wasTakenOver } = embedded
  say({ event: 'ready', connection, pid, wasTakenOver })
  const input = createInterface({ input: process.stdin })
  input.on('line', async (line) => {
    if (line === 'stop') await embedded.stop()
    else await embedded.leave()
    input.close()
    say({ event: 'ended' })
  })
} catch (err) {
  say({ event: 'failed', code: codeOf(err), message: messageOf(err) })
}
