import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Enrolled, EnrolledCertificate, Enrolment } from '../../pki/enrolment.ts'
import { issue, makeCa } from '../helpers/certificates.ts'
import { pkiShell } from './shell.ts'

const AWAY = { kind: 'failed', text: 'connect ECONNREFUSED' } as const
const NONE = { kind: 'none', text: 'no database is configured' } as const

/** Rows of a database, in memory; `state` stands for what becomes of it. */
class Database implements Enrolment {
  state: 'there' | typeof AWAY | typeof NONE = 'there'
  readonly registered = new Map<string, EnrolledCertificate>()
  readonly revocations: Parameters<Enrolment['revokeRows']>[0][] = []

  registerIssued(certificates: readonly EnrolledCertificate[]) {
    return this.#write(() =>
      certificates.map((each) => {
        const name = `${each.tenant}/${each.device}`
        const wasKnown = this.registered.has(name)
        if (!wasKnown) this.registered.set(name, each)
        return { name, site: each.site ?? each.tenant, status: 'ACTIVE', wasKnown }
      }),
    )
  }

  revokeRows(revocation: Parameters<Enrolment['revokeRows']>[0]) {
    return this.#write(() => {
      this.revocations.push(revocation)
      return revocation.certificates.map(({ serialNumber }) => {
        return { name: 'acme/pump-7', serialNumber, status: 'REVOKED', isNew: true }
      })
    })
  }

  async siteOf(tenant: string, device: string): Promise<string | undefined> {
    return this.registered.get(`${tenant}/${device}`)?.site
  }

  async #write<T>(write: () => readonly T[]): Promise<Enrolled<T>> {
    return this.state === 'there' ? { kind: 'written', rows: write() } : this.state
  }
}

async function opened(t: TestContext) {
  const database = new Database()
  const shell = await pkiShell(t, { enrolment: () => database })
  await shell.run('init')
  return { ...shell, database }
}

test('what is issued is registered with its site, and that is said', async (t) => {
  const { run, database, directory } = await opened(t)
  const { code, stdout } = await run('issue', 'acme', 'pump-7', '--site', 'north')
  assert.equal(code, 0)
  assert.ok(
    stdout.endsWith(
      'acme/pump-7 is registered; its messages name site_id "north"; its certificate is in device_certificates\n',
    ),
  )
  const { site, certificatePem } = database.registered.get('acme/pump-7') ?? {}
  assert.equal(site, 'north')
  assert.equal(
    certificatePem,
    readFileSync(join(directory, 'devices', 'acme', 'pump-7.crt'), 'latin1'),
  )
  assert.match((await run('renew', 'acme/pump-7')).stdout, /was registered before; /u)
  const list = await run('issue', 'acme', 'dev', '--count', '3')
  assert.ok(list.stdout.endsWith('3 registered, 0 were registered before\n'))
})

test('without a database the certificate is made, and what to do later is said', async (t) => {
  const { run, database } = await opened(t)
  database.state = NONE
  const { code, stdout } = await run('issue', 'acme', "p'7", '--site', 'n s')
  assert.equal(code, 0)
  assert.ok(
    stdout.endsWith(
      "not registered, since no database is configured\nlater: midge pki register acme 'p'\\''7' --site 'n s'\n",
    ),
    stdout,
  )
  const many = await run('issue', 'acme', 'dev', '--count', '3')
  assert.deepEqual([many.code, many.stderr], [0, ''])
  assert.match(many.stdout, /not registered, since .*; later: the same command again\n$/u)
})

test('a database that is away fails the command, and neither certificate nor CRL', async (t) => {
  const { run, database, directory } = await opened(t)
  database.state = AWAY
  const issued = await run('issue', 'acme', 'pump-7')
  assert.equal(issued.code, 1)
  assert.equal(
    issued.stderr,
    'midge pki: acme/pump-7 has its certificate and is not registered: connect ECONNREFUSED\nlater: midge pki register acme pump-7\n',
  )
  const file = join(directory, 'devices', 'acme', 'pump-7.crt')
  const serial = new X509Certificate(readFileSync(file)).serialNumber.toLowerCase()
  const revoked = await run('revoke', 'acme/pump-7', '--reason', 'keyCompromise')
  assert.deepEqual(revoked, {
    code: 1,
    stdout: `revoked ${serial} (keyCompromise)\nDIR/device-crl.pem: crlNumber 2\n`,
    stderr: `midge pki: the CRL is written, the rows of device_certificates are not: connect ECONNREFUSED\nlater: midge pki revoke ${serial} --reason keyCompromise\n`,
  })
  database.state = 'there'
  // Not as an active one.
  assert.match((await run('register', 'acme', 'pump-7')).stderr, /is revoked \(keyCompromise\)/u)
  const again = await run('revoke', serial, '--reason', 'keyCompromise')
  assert.equal(again.code, 0)
  assert.match(again.stdout, /was on the list before\)\n/u)
  assert.match(
    again.stdout,
    new RegExp(`device_certificates: ${serial} of acme/pump-7 is REVOKED\n$`, 'u'),
  )
  const [row] = database.revocations
  assert.equal(row?.issuer, 'Midge device CA')
  assert.equal(row.reason, 'keyCompromise')
})

test('a revocation by hand has the reason that the platform gives it', async (t) => {
  const { run, database } = await opened(t)
  await run('issue', 'acme', 'pump-7')
  await run('revoke', 'acme/pump-7')
  assert.equal(database.revocations[0]?.reason, 'manual_revocation')
  assert.equal(database.revocations[0].certificates[0]?.tenant, 'acme')
})

test('register tells a database of what was issued before it was there', async (t) => {
  const { run, database } = await opened(t)
  database.state = NONE
  await run('issue', 'acme', 'pump-7')
  database.state = 'there'
  const { code, stdout } = await run('register', 'acme', 'pump-7', '--site', 'north')
  assert.equal(code, 0)
  assert.match(stdout, /^acme\/pump-7 is registered; its messages name site_id "north"/u)
  assert.match((await run('register', 'acme', 'none')).stderr, /none\.crt does not exist: /u)
})

test('a bundle is all a device needs, with a command that names its site', async (t) => {
  const { run, directory } = await opened(t)
  const tenant = 'a c,m=e'
  const device = "p'7 $(touch x)"
  assert.equal((await run('issue', tenant, device, '--site', 'no"rth')).code, 0)
  assert.equal((await run('bundle', tenant, device, '--out', join(directory, 'b'))).code, 0)
  const folder = join(directory, 'b', 'a%20c%2Cm%3De', "p'7%20%24(touch%20x)")
  const read = (name: string) => readFileSync(join(folder, name), 'latin1')
  assert.equal(read('ca.crt'), readFileSync(join(directory, 'ca.crt'), 'latin1'))
  assert.equal(statSync(join(folder, 'device.key')).mode & 0o777, 0o600)
  const certificate = new X509Certificate(read('device.crt'))
  assert.match(certificate.subject, /CN=a c\\,m=e\/p'7 \$\(touch x\)$/u)
  // The shell gives mosquitto_pub what was meant, whatever the names hold.
  const stub = join(directory, 'mosquitto_pub')
  writeFileSync(stub, '#!/bin/sh\nfor word; do echo "<$word>"; done\n', { mode: 0o755 })
  const shown = spawnSync('sh', [join(folder, 'publish.sh')], {
    encoding: 'utf8',
    env: { PATH: `${directory}:${process.env['PATH']}`, PORT: '1' },
  })
  assert.equal(shown.status, 0, shown.stderr)
  const words = shown.stdout.split('\n')
  assert.deepEqual(words.slice(0, 4), ['<-h>', '<broker.example>', '<-p>', '<1>'])
  assert.ok(words.includes(`<tenant/${tenant}/device/${device}/telemetry>`))
  assert.ok(words.includes('<{"site_id":"no\\"rth","metrics":{"temperature_c":21.5}}>'))
})

const REFUSED: readonly (readonly [readonly string[], number, RegExp])[] = [
  [['bundle', 'acme', 'none'], 1, /none\.crt does not exist: midge pki issue acme none makes it/u],
  [['bundle', 'acme', 'a/b'], 1, /device: expected 1 to 200 characters/u],
  [['bundle', 'acme', 'p', '--port', '0'], 2, /--port: expected a number from 1 to 65535/u],
  [['bundle', 'acme', 'p', '--passphrase-file', 'x'], 2, /--passphrase-file is of a --p12/u],
  [['bundle', 'acme', 'p', '--p12', '--passphrase-file', '/no'], 1, /\/no cannot be read/u],
]

test('a bundle that cannot be made is refused', async (t) => {
  const { run } = await opened(t)
  await run('issue', 'acme', 'p')
  for (const [argv, code, message] of REFUSED) {
    const refused = await run(...argv)
    assert.deepEqual([refused.code, refused.stdout], [code, ''], argv.join(' '))
    assert.match(refused.stderr, message)
  }
})

test('show gives the verdict of a listener with these files', async (t) => {
  const { run, root, directory, clock } = await pkiShell(
    t,
    {
      identify: ({ commonName }) =>
        commonName.includes('/')
          ? { refused: false, name: commonName }
          : { refused: true, reason: 'cn_without_slash' },
    },
    Date.now(),
  )
  const file = join(root, 'show.crt')
  const verdictOn = async (pem: string): Promise<string | undefined> => {
    writeFileSync(file, pem)
    return /^Midge +(.*)$/mu.exec((await run('show', file)).stdout)?.[1]
  }
  const ca = makeCa('CA')
  assert.equal(
    await verdictOn(issue(ca, 'acme/p').certificatePem),
    'not judged: there is no DIR/device-ca.crt',
  )
  writeFileSync(join(directory, 'device-ca.crt'), ca.certificatePem)
  const now = clock.now()
  const dates = { notBefore: now - 1000, notAfter: now + 1000 }
  const good = issue(ca, 'acme/p', dates).certificatePem
  assert.equal(await verdictOn(good), 'accepted as acme/p')
  assert.equal(
    await verdictOn(issue(ca, 'acme', dates).certificatePem),
    "refused: good in itself, and no device's: cn_without_slash",
  )
  assert.match(
    (await verdictOn(issue(makeCa('CA'), 'acme/p', dates).certificatePem)) ?? '',
    /^refused: unknown_ca/u,
  )
  assert.match(
    (await verdictOn(issue(ca, 'acme/p', { ...dates, notAfter: now - 1 }).certificatePem)) ?? '',
    /^refused: expired/u,
  )
  assert.match(
    (await verdictOn(issue(ca, 'acme/p', { ...dates, key: 'rsa1024' }).certificatePem)) ?? '',
    /^refused: weak_key/u,
  )
  writeFileSync(join(directory, 'device-crl.pem'), 'no list')
  writeFileSync(file, good)
  assert.match((await run('show', file)).stdout, /\nwithout CRL +not a complete CRL file/u)
  writeFileSync(file, '-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n')
  assert.match((await run('show', file)).stderr, /found a private key\n$/u)
})
