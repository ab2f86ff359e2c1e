import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { RevocationConfig } from '../../config/types.ts'
import { systemClock } from '../../core/clock.ts'
import { silentLog } from '../../core/log.ts'
import { createMetrics } from '../../core/metrics.ts'
import { createPki } from '../../pki/pki.ts'
import { issue, issueServer, makeCa } from '../helpers/certificates.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const LENIENT: RevocationConfig = {
  whenMissing: 'wait',
  whenStale: 'serve-stale',
  withoutCrl: 'accept',
}

async function started(t: TestContext, crlfile: string | undefined) {
  const directory = await scratchDirectory(t)
  const [ca, server] = [makeCa('Device CA'), issueServer(makeCa('Server CA'))]
  const put = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  const tls = {
    certfile: put('server.crt', server.certificatePem),
    keyfile: put('server.key', server.privateKeyPem),
    cafile: put('ca.crt', ca.certificatePem),
    crlfile: crlfile === undefined ? undefined : join(directory, crlfile),
  }
  const pki = await createPki({
    listeners: [{ name: '8883', tls }],
    revocation: LENIENT,
    clock: systemClock,
    log: silentLog,
    metrics: createMetrics(),
  })
  t.after(() => pki.close())
  const device = new X509Certificate(issue(ca, 'acme/pump-7').der)
  const admit = () => pki.clientCertificates('8883')?.admit(device, undefined)
  return { pki, admit }
}

test('a policy that changes is asked from then on, also of certificates let in before', async (t) => {
  const { pki, admit } = await started(t, undefined)
  const admission = admit()
  assert.ok(admission?.admitted)
  const { certificate } = admission
  const answers: unknown[] = []
  pki.on({
    revocation: () => answers.push(pki.clientCertificates('8883')?.stillGood(certificate)),
  })
  pki.replaceRevocation(LENIENT)
  assert.deepEqual(answers, [])
  pki.replaceRevocation({ ...LENIENT, withoutCrl: 'refuse' })
  assert.deepEqual(answers, [{ good: false, reason: 'crl_missing' }])
  assert.equal(admit()?.admitted, false)
  pki.replaceRevocation(LENIENT)
  assert.equal(admit()?.admitted, true)
})

test('what waits for a crlfile that is not there is told when it need not wait any more', async (t) => {
  const { pki } = await started(t, 'crl.pem')
  assert.equal(pki.isReady('8883'), false)
  const ready = new Promise<boolean>((resolve) => {
    pki.on({ readiness: () => resolve(pki.isReady('8883')) })
  })
  pki.replaceRevocation({ ...LENIENT, whenMissing: 'open' })
  assert.equal(await ready, true)
  // What is open stays so.
  pki.replaceRevocation(LENIENT)
  await pki.reload()
  assert.equal(pki.isReady('8883'), true)
})
