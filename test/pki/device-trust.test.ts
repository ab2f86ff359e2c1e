/** Whose certificates stand for devices, through what a listener is given: CAs, pins, policies. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { systemClock } from '../../core/clock.ts'
import { createMetrics } from '../../core/metrics.ts'
import { createPki, type PkiOptions } from '../../pki/index.ts'
import {
  issue,
  issueServer,
  makeCa,
  makeCrl,
  type TestCertificate,
} from '../helpers/certificates.ts'
import { RememberingLog } from '../helpers/log.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const root = makeCa('Root CA')
const deviceCa = makeCa('Device CA', { issuer: root })
const serverCa = makeCa('Server CA', { issuer: root })
const server = issueServer(serverCa)
const device = issue(deviceCa, 'acme/pump-7')
const intruder = issue(serverCa, 'acme/pump-7')
const self = makeCa('whoever', { keyUsage: null })

async function started(t: TestContext, options: Partial<PkiOptions> & { device?: boolean } = {}) {
  const directory = await scratchDirectory(t)
  const path = (name: string): string => join(directory, name)
  const put = (name: string, text: string): void => writeFileSync(path(name), text)
  put('server.crt', server.certificatePem)
  put('server.key', server.privateKeyPem)
  put('all.crt', [root, serverCa, deviceCa].map(({ certificatePem }) => certificatePem).join(''))
  put('devices.crt', deviceCa.certificatePem)
  put('crl.pem', makeCrl(deviceCa, []))
  mkdirSync(path('pins/acme'), { recursive: true })
  const tls = {
    certfile: path('server.crt'),
    keyfile: path('server.key'),
    cafile: path('all.crt'),
    crlfile: path('crl.pem'),
    deviceCafile: options.device === true ? path('devices.crt') : undefined,
  }
  const pki = await createPki({
    listeners: [{ name: '8883', tls }],
    revocation: { whenMissing: 'wait', whenStale: 'serve-stale', withoutCrl: 'refuse' },
    pinnedCertificates: path('pins'),
    clock: systemClock,
    log: new RememberingLog().log,
    metrics: createMetrics(),
    settleMs: 1,
    ...options,
  })
  t.after(() => pki.close())
  const admission = pki.clientCertificates('8883')
  assert.ok(admission)
  const word = ({ der }: TestCertificate): string => {
    const result = admission.admit(new X509Certificate(der), undefined)
    return result.admitted ? result.certificate.commonName : result.reason
  }
  return { pki, path, put, word, admission }
}

test('with a CA for devices, a certificate of the server CA in the same bundle is no device', async (t) => {
  const { word } = await started(t, { device: true })
  assert.equal(word(intruder), 'unknown_ca')
  assert.equal(word(device), 'acme/pump-7')
})

test('without one, every CA of the bundle stands for devices, as far as its list says', async (t) => {
  const { word, put, pki } = await started(t)
  assert.equal(word(intruder), 'crl_missing')
  put('crl.pem', makeCrl(deviceCa, []) + makeCrl(serverCa, []))
  await pki.reload()
  assert.equal(word(intruder), 'acme/pump-7')
})

test('a device CA that the bundle lacks is a broken file', async (t) => {
  const { path } = await started(t)
  writeFileSync(path('devices.crt'), makeCa('Other').certificatePem)
  await assert.rejects(started(t, { listeners: [listenerOf(path)] }), {
    code: 'certificate_ca_missing',
  })
})

function listenerOf(path: (name: string) => string) {
  const tls = {
    certfile: path('server.crt'),
    keyfile: path('server.key'),
    cafile: path('all.crt'),
    crlfile: undefined,
    deviceCafile: path('devices.crt'),
  }
  return { name: '8883', tls }
}

test('a list of the root counts for the CAs below it only where the policy asks', async (t) => {
  const { pki, word, put, admission } = await started(t)
  const policy = { whenMissing: 'wait', whenStale: 'serve-stale', withoutCrl: 'refuse' } as const
  const result = admission.admit(new X509Certificate(device.der), undefined)
  assert.ok(result.admitted)
  let news = 0
  pki.on({ revocation: () => news++ })
  pki.replaceRevocation({ ...policy, intermediatesWithoutCrl: 'refuse' })
  assert.equal(news, 1)
  assert.deepEqual(admission.stillGood(result.certificate), { good: false, reason: 'crl_missing' })
  put('crl.pem', makeCrl(deviceCa, []) + makeCrl(root, []))
  await pki.reload()
  assert.equal(word(device), 'acme/pump-7')
  pki.replaceRevocation({ ...policy, requireCrlNumber: true })
  put('crl.pem', makeCrl(deviceCa, [device.serialNumber], { crlNumber: null }))
  await pki.reload()
  assert.equal(word(device), 'acme/pump-7', 'the list is refused')
  assert.equal(pki.crlFiles[0]?.problem?.code, 'crl_number_missing')
})

test('a pin laid down counts for every listener, and taking it away is news', async (t) => {
  const { pki, put, path, word, admission } = await started(t, { device: true })
  assert.equal(word(self), 'unknown_ca')
  put('pins/acme/pump-9.crt', self.certificatePem)
  await pki.reload()
  assert.equal(word(self), 'acme/pump-9')
  const result = admission.admit(new X509Certificate(self.der), 'DEPTH_ZERO_SELF_SIGNED_CERT')
  assert.ok(result.admitted)
  let news = 0
  pki.on({ revocation: () => news++ })
  rmSync(path('pins/acme/pump-9.crt'))
  await pki.reload()
  assert.equal(news, 1)
  assert.deepEqual(admission.stillGood(result.certificate), { good: false, reason: 'not_pinned' })
})
