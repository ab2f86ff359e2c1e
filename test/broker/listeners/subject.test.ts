import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { rfc2253 } from '../../../broker/listeners/subject.ts'
import { startBroker } from '../../helpers/broker.ts'
import { mutualTls } from '../../helpers/mutual-tls.ts'

const SUBJECTS = [
  '/C=GB/ST=Derbyshire/L=Derby/O=Paho Project/OU=Testing/CN=test client',
  '/O=a,b;c "d" <e>/CN=#x \\+ y\\\\ z ',
  '/CN=Zo\u00eb \u65e5\u672c',
  '/O=x/OU=y+CN=z',
]

test('the subject as OpenSSL writes it by RFC 2253', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'midge-subject-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = (name: string) => join(folder, name)
  for (const subject of SUBJECTS) {
    const request = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
    ]
    const files = ['-keyout', file('k'), '-out', file('c')]
    execFileSync('openssl', [...request, '-utf8', '-multivalue-rdn', '-subj', subject, ...files], {
      stdio: 'ignore',
    })
    const shown = ['x509', '-in', file('c'), '-noout', '-subject', '-nameopt', 'RFC2253']
    const expected = String(execFileSync('openssl', shown))
      .replace(/^subject=/u, '')
      .replace(/\n$/u, '')
    assert.equal(rfc2253(new X509Certificate(readFileSync(file('c'))).subject), expected)
  }
})

test('use_subject_as_username takes it for the user name, and no other', async (t) => {
  const pki = mutualTls()
  const tls = { useIdentityAsUsername: false, useSubjectAsUsername: true }
  for (const [tenancy, expected] of [
    [true, 5],
    [false, 0],
  ] as const) {
    const { broker, port } = await startBroker(t, { ...pki.listener(tls), tenancy })
    const client = await pki.connect(t, port, pki.device('acme/pump-7'))
    const { returnCode } = await client.connect({ clientId: 'x', userName: 'root', password: 'p' })
    assert.equal(returnCode, expected)
    if (!tenancy) assert.equal(broker.sessions()[0]?.user, 'CN=acme/pump-7')
  }
})
