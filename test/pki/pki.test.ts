import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { ClientCertificates, ServerCredentials } from '../../broker/ports.ts'
import { systemClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { createPki, type PkiOptions } from '../../pki/pki.ts'
import { CertificateRejected } from '../../pki/errors.ts'
import { issue, issueServer, makeCa, makeCrl } from '../helpers/certificates.ts'
import { RememberingLog } from '../helpers/log.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const ca = makeCa('Device CA')
const nextCa = makeCa('Next Device CA')
const server = issueServer(makeCa('Server CA'))
const nextServer = issueServer(makeCa('Server CA'))
const device = issue(ca, 'acme/pump-7')
const x509 = ({ der }: { readonly der: Buffer }) => new X509Certificate(der)

interface Setting extends Partial<Pick<PkiOptions, 'clock' | 'settleMs' | 'revocation'>> {
  readonly crl?: string | undefined
}

async function started(t: TestContext, setting: Setting = {}) {
  const directory = await scratchDirectory(t)
  const path = (name: string): string => join(directory, name)
  const put = (name: string, text: string): void => {
    writeFileSync(path(`${name}.tmp`), text)
    renameSync(path(`${name}.tmp`), path(name))
  }
  put('server.crt', server.certificatePem)
  put('server.key', server.privateKeyPem)
  put('ca.crt', ca.certificatePem)
  if (setting.crl !== undefined) put('crl.pem', setting.crl)
  const memory = new RememberingLog()
  const metrics = createMetrics()
  const { clock = systemClock, settleMs = 5 } = setting
  const tls = {
    certfile: path('server.crt'),
    keyfile: path('server.key'),
    crlfile: path('crl.pem'),
  }
  const pki = await createPki({
    listeners: [
      { name: '8883', tls: { ...tls, cafile: path('ca.crt') } },
      { name: '9001', tls: { ...tls, cafile: undefined, crlfile: undefined } },
    ],
    revocation: setting.revocation ?? {
      whenMissing: 'wait',
      whenStale: 'serve-stale',
      withoutCrl: 'refuse',
    },
    clock,
    log: memory.log,
    metrics,
    settleMs,
  })
  t.after(() => pki.close())
  // Neither a watch nor a poll keeps a process alive.
  const alive = setInterval(() => undefined, 60_000)
  t.after(() => clearInterval(alive))
  const told: string[] = []
  pki.on({
    credentials: (name) => told.push(`credentials ${name}`),
    revocation: () => told.push('revocation'),
    readiness: ({ state }) => told.push(`readiness ${state}`),
  })
  const admit = (certificate = device) => {
    const result = pki.clientCertificates('8883')?.admit(x509(certificate), undefined)
    return result?.admitted === true ? 'admitted' : result?.reason
  }
  return { pki, path, put, told, admit, metrics, memory, directory }
}

test('a broker does not start with files it cannot serve with', async (t) => {
  const { path } = await started(t, { crl: makeCrl(ca) })
  writeFileSync(path('server.key'), '')
  const tls = {
    certfile: path('server.crt'),
    keyfile: path('server.key'),
    cafile: undefined,
    crlfile: undefined,
  }
  const revocation = {
    whenMissing: 'wait',
    whenStale: 'serve-stale',
    withoutCrl: 'refuse',
  } as const
  const options = {
    listeners: [{ name: '8883', tls }],
    revocation,
    clock: systemClock,
    log: new RememberingLog().log,
    metrics: createMetrics(),
  }
  await assert.rejects(createPki(options), CertificateRejected)
})

test('each listener has its credentials, and those with a cafile judge certificates', async (t) => {
  const { pki, admit, metrics } = await started(t, { crl: makeCrl(ca) })
  // The two folders share no type: the compiler compares their shapes here.
  const credentials: ServerCredentials = pki.credentials('8883')
  const certificates: ClientCertificates | undefined = pki.clientCertificates('8883')
  assert.equal(certificates?.admit(undefined, undefined).admitted, false)
  assert.equal(credentials.cert, server.certificatePem)
  assert.equal(pki.credentials('9001').ca, undefined)
  assert.equal(pki.clientCertificates('9001'), undefined)
  assert.deepEqual([pki.isReady('8883'), pki.isReady('9001')], [true, true])
  assert.equal(admit(), 'admitted')
  assert.equal(admit(issue(nextCa, 'acme/pump-7')), 'unknown_ca')
  const { values } = await metrics.certificateNotAfter.get()
  const notAfter = Date.parse(x509(server).validTo) / 1000
  assert.deepEqual(
    values.map(({ labels, value }) => [labels.listener, value]),
    [
      ['8883', notAfter],
      ['9001', notAfter],
    ],
  )
})

test('a listener whose crlfile is missing is not ready, and becomes so by itself', async (t) => {
  const { pki, put, admit, memory } = await started(t)
  assert.deepEqual([pki.isReady('8883'), pki.isReady('9001')], [false, true])
  assert.equal(admit(), 'crl_missing')
  const ready = new Promise((resolve) => {
    pki.on({ readiness: resolve })
  })
  put('crl.pem', makeCrl(ca))
  await ready
  assert.equal(pki.isReady('8883'), true)
  assert.equal(admit(), 'admitted')
  assert.equal(memory.last('crl.rejected')?.['code'], 'crl_unreadable')
})

test('a revocation is told as soon as the file has changed', async (t) => {
  const { pki, put, told } = await started(t, { crl: makeCrl(ca) })
  const admission = pki.clientCertificates('8883')
  const result = admission?.admit(x509(device), undefined)
  assert.ok(admission && result?.admitted)
  const news = new Promise<void>((resolve) => {
    pki.on({ revocation: resolve })
  })
  put('crl.pem', makeCrl(ca, [device.serialNumber], { crlNumber: 2 }))
  await news
  assert.deepEqual(admission.stillGood(result.certificate), { good: false, reason: 'revoked' })
  assert.deepEqual(told, ['revocation'])
})

test('a new certificate is taken once its key has come too; half a pair is never served', async (t) => {
  const { pki, put, told, metrics, memory } = await started(t, { crl: makeCrl(ca) })
  put('server.crt', nextServer.certificatePem)
  await pki.reload()
  assert.equal(pki.credentials('8883').cert, server.certificatePem)
  assert.match(
    pki.problems.map(({ listener, message }) => `${listener} ${message}`).join('; '),
    /^8883 .*server\.key does not belong to .*; 9001 /u,
  )
  const gauge = async () =>
    (await metrics.certificateRejected.get()).values.map(({ value }) => value)
  assert.deepEqual(await gauge(), [1, 1])
  assert.equal(memory.last('certificate.rejected')?.['code'], 'certificate_key_mismatch')
  assert.deepEqual(told, [])
  put('server.key', nextServer.privateKeyPem)
  await pki.reload()
  assert.deepEqual(
    [pki.credentials('8883').cert, pki.credentials('9001').key],
    [nextServer.certificatePem, nextServer.privateKeyPem],
  )
  assert.deepEqual(pki.problems, [])
  assert.deepEqual(await gauge(), [0, 0])
  assert.deepEqual(new Set(told), new Set(['credentials 8883', 'credentials 9001']))
})

test('a changed pair is taken without being asked', async (t) => {
  const { pki, put } = await started(t, { crl: makeCrl(ca) })
  const replaced = new Promise((resolve) => {
    pki.on({ credentials: (name, { cert }) => name === '8883' && resolve(cert) })
  })
  put('server.crt', nextServer.certificatePem)
  put('server.key', nextServer.privateKeyPem)
  assert.equal(await replaced, nextServer.certificatePem)
})

test('a broken pair that is put back as it was is no longer a problem', async (t) => {
  const { pki, put, metrics } = await started(t, { crl: makeCrl(ca) })
  put('server.crt', 'garbage')
  await pki.reload()
  assert.equal(pki.problems.length, 2)
  put('server.crt', server.certificatePem)
  await pki.reload()
  assert.deepEqual(pki.problems, [])
  assert.deepEqual(
    (await metrics.certificateRejected.get()).values.map(({ value }) => value),
    [0, 0],
  )
})

test('other CAs count at once: those of the old are out, and the list of the new is in force', async (t) => {
  const crl = makeCrl(ca) + makeCrl(nextCa, ['0a'])
  const { pki, put, told, admit } = await started(t, { crl })
  const admission = pki.clientCertificates('8883')
  const result = admission?.admit(x509(device), undefined)
  assert.ok(admission && result?.admitted)
  put('ca.crt', nextCa.certificatePem)
  await pki.reload()
  assert.deepEqual(admission.stillGood(result.certificate), { good: false, reason: 'unknown_ca' })
  assert.equal(admit(), 'unknown_ca')
  assert.equal(admit(issue(nextCa, 'acme/pump-7')), 'admitted')
  assert.equal(admit(issue(nextCa, 'acme/pump-8', { serial: '0a' })), 'revoked')
  assert.ok(told.includes('revocation') && told.includes('credentials 8883'), told.join())
})

test('a listener whose crlfile is missing is not ready, whatever is accepted without a CRL', async (t) => {
  const accept = { whenMissing: 'wait', whenStale: 'serve-stale', withoutCrl: 'accept' } as const
  const { pki, admit } = await started(t, { revocation: accept })
  assert.equal(pki.isReady('8883'), false)
  assert.equal(admit(), 'admitted')
})
