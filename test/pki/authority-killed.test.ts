import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { type SerialNumber, serialNumber } from '../../core/names.ts'
import { Authority } from '../../pki/authority.ts'
import { runPkiCommand } from '../../pki/cli.ts'
import { parseCrl } from '../../pki/crl.ts'
import { splitCrlFile } from '../../pki/crl-reading.ts'
import { RevokedSerials } from '../../pki/revoked-serials.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const ROUNDS = 8
/** About as long as the commands take. */
const LONGEST_MS = 500
const COMMAND = new URL('../../pki/cli.js', import.meta.url).href
const CLOCK = new URL('../../core/clock.js', import.meta.url).href

/** The commands one after the other, as a process of their own that says when it begins. */
function start(t: TestContext, directory: string, commands: readonly (readonly string[])[]) {
  const script = `
    const { runPkiCommand } = await import(${JSON.stringify(COMMAND)})
    const { systemClock } = await import(${JSON.stringify(CLOCK)})
    await import('reflect-metadata'); await import('@peculiar/x509')
    process.stdout.write('begins\\n')
    for (const argv of ${JSON.stringify(commands)}) {
      await runPkiCommand(argv, { stdout: { write() {} }, stderr: process.stderr,
        directory: ${JSON.stringify(directory)}, clock: systemClock, hostNames: [] })
    }`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    cwd: new URL('../..', import.meta.url),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  return child
}

test('a command that is killed at any moment leaves nothing half', async (t) => {
  const directory = await scratchDirectory(t)
  const errors: string[] = []
  const run = (argv: readonly string[]) =>
    runPkiCommand(argv, {
      stdout: { write: () => undefined },
      stderr: { write: (text: string) => errors.push(text) },
      directory,
      clock: systemClock,
      hostNames: [],
    })
  await run(['init'])
  await run(['issue', 'acme', 'one'])
  let lastNumber = 0n
  const onList = new Set<SerialNumber>()
  for (let round = 0; round < ROUNDS; round++) {
    const child = start(t, directory, [
      ['renew', 'acme/one', '--new-key', '--revoke-old'],
      ['issue', 'acme', `r${round}`, '--count', '8'],
      ['revoke', `acme/r${round}-3`],
      ['issue', 'acme', `s${round}`],
      ['crl'],
    ])
    const gone = once(child, 'exit')
    await once(child.stdout, 'data')
    await systemClock.sleep(Math.random() * LONGEST_MS)
    child.kill('SIGKILL')
    await gone
    // What a broker reads is whole, and nothing on it is forgotten.
    const [der] = splitCrlFile(readFileSync(join(directory, 'device-crl.pem')))
    const crl = parseCrl(der ?? new Uint8Array())
    assert.ok((crl.crlNumber ?? 0n) >= lastNumber)
    lastNumber = crl.crlNumber ?? 0n
    const listed = new RevokedSerials(crl.revoked)
    for (const serial of onList) assert.ok(listed.has(serial), serial)
    // The next one finds no lock in its way, and a state it can read.
    const authority = await Authority.open(directory, { clock: systemClock })
    const { issued, revoked } = await authority.state()
    for (const { serialNumber: serial } of revoked) onList.add(serial)
    const known = new Set([...issued, ...revoked].map((each) => each.serialNumber))
    for (const certificate of certificatesIn(directory)) {
      const serial = serialNumber(certificate.serialNumber)
      assert.ok(known.has(serial), `${certificate.subject} could not be revoked by name`)
    }
  }
  for (let round = 0; round < ROUNDS; round++) {
    assert.equal(
      await run(['issue', 'acme', `r${round}`, '--count', '8', '--out', join(directory, 'new')]),
      0,
    )
  }
  assert.equal(await run(['renew', 'acme/one', '--new-key']), 0, errors.join(''))
  const folder = join(directory, 'devices', 'acme')
  for (const name of readdirSync(folder).filter((each) => each.endsWith('.crt'))) {
    const certificate = new X509Certificate(readFileSync(join(folder, name)))
    const key = createPrivateKey(readFileSync(join(folder, name.replace(/crt$/u, 'key'))))
    assert.ok(certificate.checkPrivateKey(key), name)
  }
})

function certificatesIn(directory: string): X509Certificate[] {
  const folder = join(directory, 'devices')
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.crt') && !name.split('/').at(-1)?.startsWith('.'))
      .map((name) => new X509Certificate(readFileSync(join(folder, name))))
  } catch {
    return []
  }
}
