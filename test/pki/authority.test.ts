import assert from 'node:assert/strict'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { serialNumber } from '../../core/names.ts'
import { createClientCertificates } from '../../pki/admission.ts'
import { Authority, type AuthorityOptions } from '../../pki/authority.ts'
import { readCertificate } from '../../pki/certificate.ts'
import { parseCrl } from '../../pki/crl.ts'
import { CrlStore } from '../../pki/crl-store.ts'
import { splitCrlFile } from '../../pki/crl-reading.ts'
import { AuthorityError } from '../../pki/errors.ts'
import { RevokedSerials } from '../../pki/revoked-serials.ts'
import { readServerCredentials } from '../../pki/server-certificate.ts'
import { makeCrl, type TestCa } from '../helpers/certificates.ts'
import { FakeClock } from '../helpers/clock.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const T0 = Date.now()
const DAY = 86_400_000
const hasOpenssl = spawnSync('openssl', ['version']).status === 0
const needsOpenssl = {
  skip: !hasOpenssl && 'no openssl command on this machine: nothing was verified',
}

async function open(directory: string, options: Partial<AuthorityOptions> = {}) {
  return await Authority.open(directory, {
    clock: new FakeClock(T0),
    hostNames: ['broker.example'],
    ...options,
  })
}

async function opened(t: TestContext, options: Partial<AuthorityOptions> = {}) {
  const directory = await scratchDirectory(t)
  const authority = await open(directory, options)
  const text = (name: string): string => readFileSync(join(directory, name), 'latin1')
  const crl = () =>
    parseCrl(splitCrlFile(readFileSync(join(directory, 'device-crl.pem')))[0] ?? Buffer.alloc(0))
  return { directory, authority, text, crl }
}

const refusedWith = (code: string, message: string | RegExp) => (err: unknown) => {
  assert.ok(err instanceof AuthorityError, String(err))
  assert.equal(err.code, code)
  if (typeof message === 'string') assert.equal(err.message, message)
  else assert.match(err.message, message)
  return true
}

test('opening an empty directory makes all that a broker is started with', async (t) => {
  const { directory, authority, text } = await opened(t)
  const modes = Object.fromEntries(
    readdirSync(directory).map((name) => [
      name,
      (statSync(join(directory, name)).mode & 0o777).toString(8),
    ]),
  )
  assert.deepEqual(modes, {
    'authority.json': '600',
    'ca.crt': '644',
    'ca.key': '600',
    'combined-ca.crt': '644',
    'device-ca.crt': '644',
    'device-ca.key': '600',
    'device-crl.pem': '644',
    'server.crt': '644',
    'server.key': '600',
  })
  assert.equal(text('combined-ca.crt'), text('ca.crt') + text('device-ca.crt'))
  assert.deepEqual(authority.changes, [
    'made the server CA: ca.crt, ca.key',
    'made the server certificate: server.crt, server.key (localhost, 127.0.0.1, ::1, broker.example)',
    'made the device CA: device-ca.crt, device-ca.key',
    'wrote combined-ca.crt',
    'wrote device-crl.pem, crlNumber 1',
  ])
  const { certfile, keyfile, cafile } = {
    certfile: authority.files.serverCert,
    keyfile: authority.files.serverKey,
    cafile: authority.files.combinedCa,
  }
  const { warnings, trust } = await readServerCredentials({ certfile, keyfile, cafile }, T0)
  assert.deepEqual(warnings, [])
  assert.deepEqual(trust?.ignored, [])
  const server = new X509Certificate(text('server.crt'))
  for (const name of ['localhost', 'broker.example']) assert.equal(server.checkHost(name), name)
  for (const address of ['127.0.0.1', '::1']) assert.equal(server.checkIP(address), address)
})

test('a second opening changes nothing', async (t) => {
  const { directory } = await opened(t)
  const contents = () =>
    readdirSync(directory).map((name) => [
      name,
      readFileSync(join(directory, name), 'latin1'),
      statSync(join(directory, name)).ino,
    ])
  const before = contents()
  const again = await open(directory)
  assert.deepEqual(again.changes, [])
  assert.deepEqual(contents(), before)
})

test('several openings at once make one authority', async (t) => {
  const directory = await scratchDirectory(t)
  const clock = new FakeClock(T0)
  clock.sleep = () => new Promise((resolve) => setImmediate(resolve))
  const all = await Promise.all([1, 2, 3].map(() => open(directory, { clock })))
  assert.deepEqual(
    all.map(({ changes }) => changes.length).toSorted((a, b) => a - b),
    [0, 0, 5],
  )
})

for (const { missing, rest } of [
  { missing: ['device-ca.crt'], rest: 'made the device CA: device-ca.crt, device-ca.key' },
  { missing: ['server.crt'], rest: 'made the server certificate' },
]) {
  test(`a start that was cut off before ${missing.join()} is completed with the same key`, async (t) => {
    const { directory, text } = await opened(t)
    const keys = text('device-ca.key') + text('server.key')
    for (const name of [...missing, 'combined-ca.crt', 'device-crl.pem', 'authority.json'])
      unlinkSync(join(directory, name))
    const { changes } = await open(directory)
    assert.ok(
      changes.some((change) => change.startsWith(rest)),
      changes.join(),
    )
    assert.equal(text('device-ca.key') + text('server.key'), keys)
    assert.equal(
      new X509Certificate(text('device-ca.crt')).checkPrivateKey(
        createPrivateKey(text('device-ca.key')),
      ),
      true,
    )
    assert.equal(
      new X509Certificate(text('server.crt')).checkPrivateKey(createPrivateKey(text('server.key'))),
      true,
    )
  })
}

const INCOMPLETE: readonly (readonly [string, readonly string[], string, RegExp])[] = [
  [
    'a server certificate without its key',
    ['server.key'],
    'authority_incomplete',
    /server\.crt exists and .*server\.key does not; expected both or neither$/u,
  ],
  [
    'no server certificate and a CA without its key',
    ['server.crt', 'server.key', 'ca.key'],
    'authority_incomplete',
    /ca\.key does not exist; expected the server CA with its key$/u,
  ],
  [
    'no CRL and a device CA without its key',
    ['device-crl.pem', 'device-ca.key'],
    'authority_incomplete',
    /device-ca\.key does not exist; expected the device CA with its key$/u,
  ],
]

for (const [what, missing, code, message] of INCOMPLETE) {
  test(`refuses ${what}, and makes no key in its place`, async (t) => {
    const { directory } = await opened(t)
    for (const name of missing) unlinkSync(join(directory, name))
    const before = readdirSync(directory)
    await assert.rejects(open(directory), refusedWith(code, message))
    assert.deepEqual(readdirSync(directory), before)
  })
}

test('refuses a key that is not that of its certificate', async (t) => {
  const { directory, text } = await opened(t)
  writeFileSync(join(directory, 'device-ca.key'), text('server.key'))
  await assert.rejects(
    open(directory),
    refusedWith('authority_state_invalid', /device-ca\.key does not belong to .*device-ca\.crt$/u),
  )
})

test('a directory whose keys are kept elsewhere is left as it is', async (t) => {
  const { directory } = await opened(t)
  for (const name of ['ca.key', 'device-ca.key', 'authority.json'])
    unlinkSync(join(directory, name))
  const authority = await open(directory, { clock: new FakeClock(T0 + 390 * DAY) })
  assert.deepEqual(authority.changes, [])
  await assert.rejects(
    authority.issueDevice('acme', 'pump-7'),
    refusedWith('authority_incomplete', /device-ca\.key does not exist/u),
  )
})

test('a server certificate near its end is renewed by the same CA and with the same key, and said so', async (t) => {
  const { directory, text } = await opened(t)
  const before = [text('ca.crt'), text('server.key')]
  const old = text('server.crt')
  assert.deepEqual(
    (await open(directory, { clock: new FakeClock(T0 + 366 * DAY) })).changes.filter((change) =>
      change.includes('server'),
    ),
    [],
  )
  assert.equal(text('server.crt'), old)
  const { changes } = await open(directory, { clock: new FakeClock(T0 + 368 * DAY) })
  assert.ok(changes.includes('renewed server.crt, which had 28 days left'), changes.join())
  assert.deepEqual([text('ca.crt'), text('server.key')], before)
  const renewed = new X509Certificate(text('server.crt'))
  assert.ok(readCertificate(renewed.raw).notAfter > T0 + 700 * DAY)
  assert.ok(renewed.verify(new X509Certificate(text('ca.crt')).publicKey))
  assert.equal(renewed.checkHost('broker.example'), 'broker.example')
})

test('a device certificate names tenant and device, and is admitted', async (t) => {
  const { authority, text } = await opened(t)
  const issued = await authority
    .issueDevice('acme', 'Pumpe, O=evil+x', { days: 30 })
    .catch(() => undefined)
  assert.equal(issued, undefined, 'a + is no part of an id')
  const {
    certificatePem,
    privateKeyPem = '',
    ...facts
  } = await authority.issueDevice('acme', 'Pumpe, O=evil', { days: 30 })
  const peer = new X509Certificate(certificatePem)
  assert.ok(peer.checkPrivateKey(createPrivateKey(privateKeyPem)))
  assert.equal(peer.subject, 'O=Midge\nCN=acme/Pumpe\\, O=evil')
  const { cafile, ...files } = {
    cafile: authority.files.combinedCa,
    certfile: authority.files.serverCert,
    keyfile: authority.files.serverKey,
  }
  const { trust } = await readServerCredentials({ ...files, cafile }, T0)
  assert.ok(trust)
  const clock = new FakeClock(T0)
  const store = new CrlStore({ clock, authorities: trust.encodings })
  await store.offer(Buffer.from(text('device-crl.pem')))
  const policy = { whenStale: 'refuse', withoutCrl: 'refuse' } as const
  const admission = createClientCertificates({ trust, store, clock, policy })
  const result = admission.admit(peer, undefined)
  assert.ok(result.admitted, JSON.stringify(result))
  assert.equal(result.certificate.commonName, 'acme/Pumpe, O=evil')
  assert.deepEqual(facts, {
    commonName: 'acme/Pumpe, O=evil',
    serialNumber: result.certificate.serialNumber,
    fingerprint: result.certificate.fingerprint,
    notAfter: result.certificate.notAfter,
  })
  assert.equal(facts.notAfter, Math.floor((T0 + 30 * DAY) / 1000) * 1000)
  assert.match(facts.serialNumber, /^[4-7][0-9a-f]{39}$/u)
  const server = admission.admit(new X509Certificate(text('server.crt')), undefined)
  assert.equal(server.admitted ? '' : server.reason, 'unknown_ca', 'the server CA has no devices')
})

test('nothing is issued beyond the end of its CA', async (t) => {
  const { directory, text } = await opened(t)
  const authority = await open(directory, { clock: new FakeClock(T0 + 3600 * DAY) })
  const { notAfter } = await authority.issueDevice('acme', 'pump-7', { days: 3650 })
  assert.equal(notAfter, readCertificate(new X509Certificate(text('device-ca.crt')).raw).notAfter)
})

const REQUESTS: readonly (readonly [string, string, string, object, string, string | RegExp])[] = [
  [
    'an empty tenant',
    '',
    'd',
    {},
    'authority_name_invalid',
    'tenant: expected 1 to 200 characters without / + # and controls, found ""',
  ],
  [
    'a tenant with a slash',
    'a/b',
    'd',
    {},
    'authority_name_invalid',
    'tenant: expected 1 to 200 characters without / + # and controls, found "a/b"',
  ],
  [
    'a device that is a wildcard',
    'a',
    '#',
    {},
    'authority_name_invalid',
    'device: expected 1 to 200 characters without / + # and controls, found "#"',
  ],
  [
    'a device with a newline',
    'a',
    'b\nc',
    {},
    'authority_name_invalid',
    'device: expected 1 to 200 characters without / + # and controls, found "b\\nc"',
  ],
  [
    'names too long together',
    'a'.repeat(100),
    'b'.repeat(100),
    {},
    'authority_name_invalid',
    'expected a CN of at most 200 characters, found 201',
  ],
  [
    'no days',
    'a',
    'b',
    { days: 0 },
    'authority_request_invalid',
    'days: expected a whole number from 1 to 3650, found 0',
  ],
  [
    'half a day',
    'a',
    'b',
    { days: 0.5 },
    'authority_request_invalid',
    'days: expected a whole number from 1 to 3650, found 0.5',
  ],
  [
    'too many days',
    'a',
    'b',
    { days: 3651 },
    'authority_request_invalid',
    'days: expected a whole number from 1 to 3650, found 3651',
  ],
  [
    'a request that is none',
    'a',
    'b',
    { csr: 'nonsense' },
    'authority_request_invalid',
    /^expected a PEM certificate request \(PKCS #10\), found: /u,
  ],
]

test('what cannot be issued is refused with what was expected', async (t) => {
  const { authority, text } = await opened(t)
  const state = text('authority.json')
  for (const [what, tenant, device, request, code, message] of REQUESTS) {
    await assert.rejects(
      authority.issueDevice(tenant, device, request),
      refusedWith(code, message),
      what,
    )
  }
  assert.equal(text('authority.json'), state)
})

test('a request is signed for its key alone', needsOpenssl, async (t) => {
  const { authority, directory } = await opened(t)
  const request = (cn: string, key: readonly string[]): string => {
    const args = [
      'req',
      '-new',
      '-nodes',
      '-keyout',
      join(directory, 'device.key'),
      '-subj',
      `/O=Evil/CN=${cn}`,
      '-addext',
      'basicConstraints=critical,CA:TRUE',
      ...key,
    ]
    return spawnSync('openssl', args, { encoding: 'utf8' }).stdout
  }
  const p256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']
  const csr = request('acme\\/pump-7', p256)
  const issued = await authority.issueDevice('acme', 'pump-7', { csr })
  assert.equal(issued.privateKeyPem, undefined)
  const certificate = new X509Certificate(issued.certificatePem)
  assert.ok(
    certificate.checkPrivateKey(createPrivateKey(readFileSync(join(directory, 'device.key')))),
  )
  assert.equal(certificate.subject, 'O=Midge\nCN=acme/pump-7')
  assert.equal(certificate.ca, false)
  await assert.rejects(
    authority.issueDevice('acme', 'pump-8', { csr }),
    refusedWith(
      'authority_request_invalid',
      'the request is for "acme/pump-7", expected "acme/pump-8"',
    ),
  )
  await assert.rejects(
    authority.issueDevice('acme', 'pump-7', {
      csr: request('acme\\/pump-7', ['-newkey', 'rsa:1024']),
    }),
    refusedWith(
      'authority_request_invalid',
      'the request has an unfit key: RSA key of 1024 bits, expected at least 2048',
    ),
  )
  const body = csr.split('\n')
  const flipped = body
    .with(
      3,
      (body[3] ?? '').replace(/./u, (letter) => (letter === 'A' ? 'B' : 'A')),
    )
    .join('\n')
  await assert.rejects(
    authority.issueDevice('acme', 'pump-7', { csr: flipped }),
    refusedWith('authority_request_invalid', /^expected a PEM certificate request/u),
  )
})

test('a revocation is on the next list, which is numbered above the last and current for 30 days', async (t) => {
  const { authority, crl } = await opened(t)
  const [one, two] = [
    await authority.issueDevice('acme', 'pump-7'),
    await authority.issueDevice('acme', 'pump-8'),
  ]
  assert.equal(crl().crlNumber, 1n)
  assert.equal(await authority.revoke([one.serialNumber], 'keyCompromise'), 2n)
  const { crlNumber, revoked, thisUpdate, nextUpdate = 0 } = crl()
  assert.equal(crlNumber, 2n)
  assert.equal(nextUpdate - thisUpdate, 30 * DAY)
  const serials = new RevokedSerials(revoked)
  assert.deepEqual([serials.has(one.serialNumber), serials.has(two.serialNumber)], [true, false])
  assert.deepEqual(await authority.serialsOf('acme/pump-7'), [])
  assert.deepEqual(await authority.serialsOf('acme/pump-8'), [two.serialNumber])
  assert.equal(await authority.renewCrl(), 3n)
  assert.equal(crl().revoked.count, 1)
})

test('no revocation is forgotten when the state is lost, or another program wrote the list', async (t) => {
  const { authority, directory, crl, text } = await opened(t)
  await authority.revoke([serialNumber('0a')], 'superseded')
  unlinkSync(join(directory, 'authority.json'))
  await authority.revoke([serialNumber('0b')])
  assert.deepEqual([crl().crlNumber, crl().revoked.count], [3n, 2])
  const key = createPrivateKey(text('device-ca.key'))
  const { raw } = new X509Certificate(text('device-ca.crt'))
  const { subject, subjectKeyIdentifier = Buffer.alloc(20) } = readCertificate(raw)
  const ca = { subject, key, keyIdentifier: subjectKeyIdentifier } as unknown as TestCa
  writeFileSync(join(directory, 'device-crl.pem'), makeCrl(ca, ['0c'], { crlNumber: 40 }))
  assert.equal(await authority.revoke([serialNumber('0d')]), 41n)
  const serials = new RevokedSerials(crl().revoked)
  assert.deepEqual(
    ['0a', '0b', '0c', '0d'].map((hex) => serials.has(serialNumber(hex))),
    [true, true, true, true],
  )
  assert.match(text('authority.json'), /"superseded"/u)
})

test('a list that cannot be read is not replaced by a shorter one', async (t) => {
  const { authority, directory } = await opened(t)
  writeFileSync(join(directory, 'device-crl.pem'), 'garbage')
  await assert.rejects(
    authority.revoke([serialNumber('0a')]),
    refusedWith(
      'authority_state_invalid',
      /device-crl\.pem: expected the CRL of the device CA: not a complete CRL file: no BEGIN X509 CRL; move it away to start a new one$/u,
    ),
  )
})

test('a state that cannot be read is refused', async (t) => {
  const { authority, directory } = await opened(t)
  for (const [content, found] of [
    ['', 'Unexpected end of JSON input'],
    ['[]', 'something that is not an object'],
    ['{"version":2}', 'version 2, expected 1'],
    ['{"version":1,"crlNumber":"1","issued":[],"revoked":[{}]}', 'serialNumber is not a text'],
  ] as const) {
    writeFileSync(join(directory, 'authority.json'), content)
    const message = `${join(directory, 'authority.json')}: expected the authority's state, found: ${found}`
    await assert.rejects(
      authority.revoke([serialNumber('0a')]),
      refusedWith('authority_state_invalid', message),
    )
  }
})

test("a list of ours is renewed at half its time; another program's is left alone", async (t) => {
  const { directory, crl, authority } = await opened(t)
  assert.deepEqual((await open(directory, { clock: new FakeClock(T0 + 14 * DAY) })).changes, [])
  const { changes } = await open(directory, { clock: new FakeClock(T0 + 16 * DAY) })
  assert.deepEqual(changes, ['wrote device-crl.pem, crlNumber 2'])
  assert.equal(crl().crlNumber, 2n)
  unlinkSync(join(directory, 'authority.json'))
  assert.deepEqual((await open(directory, { clock: new FakeClock(T0 + 60 * DAY) })).changes, [])
  assert.deepEqual(await authority.renewDue(), [])
})

test('a revoked certificate leaves the list some time after it has expired', async (t) => {
  const { directory, crl, authority } = await opened(t)
  const { serialNumber: serial } = await authority.issueDevice('acme', 'pump-7', { days: 10 })
  await authority.revoke([serial])
  const after = async (days: number): Promise<number> => {
    await (await open(directory, { clock: new FakeClock(T0 + days * DAY) })).renewCrl()
    return crl().revoked.count
  }
  assert.equal(await after(69), 1)
  assert.equal(await after(71), 0)
})

test('the lock of a process that is gone does not keep others out', async (t) => {
  const { directory, authority } = await opened(t)
  const gone = spawnSync(
    process.execPath,
    ['-e', 'console.log(process.pid, require("os").hostname())'],
    { encoding: 'utf8' },
  )
  for (const holder of [gone.stdout.trim(), `${process.pid} ${gone.stdout.trim().split(' ')[1]}`]) {
    writeFileSync(join(directory, '.authority.lock'), holder)
    await authority.revoke([serialNumber('0a')])
  }
  const clock = new FakeClock(T0)
  clock.sleep = async (ms) => clock.advance(ms)
  writeFileSync(join(directory, '.authority.lock'), '1 another-machine')
  await assert.rejects(
    open(directory, { clock }),
    refusedWith(
      'authority_locked',
      `${join(directory, '.authority.lock')} is held by 1 another-machine; if that process is gone, remove the file`,
    ),
  )
  assert.deepEqual((await open(directory, { clock: new FakeClock(T0 + 60 * 60_000) })).changes, [])
  rmSync(join(directory, '.authority.lock'), { force: true })
})

for (const keyType of ['p256', 'rsa'] as const) {
  test(`OpenSSL verifies all of it strictly, with ${keyType} keys`, needsOpenssl, async (t) => {
    const { directory, authority } = await opened(t, { keyType })
    const path = (name: string): string => join(directory, name)
    const good = await authority.issueDevice('acme', 'pump-7', { keyType })
    const lost = await authority.issueDevice('acme', 'pump-8', { keyType })
    await authority.revoke([lost.serialNumber], 'keyCompromise')
    writeFileSync(path('good.crt'), good.certificatePem)
    writeFileSync(path('lost.crt'), lost.certificatePem)
    const verify = (...args: readonly string[]) => {
      const { stdout, stderr, status } = spawnSync('openssl', ['verify', '-x509_strict', ...args], {
        encoding: 'utf8',
      })
      return { status, said: stdout + stderr }
    }
    const device = [
      '-CAfile',
      path('device-ca.crt'),
      '-purpose',
      'sslclient',
      '-crl_check',
      '-CRLfile',
      path('device-crl.pem'),
    ]
    for (const args of [
      ['-CAfile', path('ca.crt'), '-purpose', 'sslserver', path('server.crt')],
      ['-CAfile', path('combined-ca.crt'), '-purpose', 'sslserver', path('server.crt')],
      [...device, path('good.crt')],
    ]) {
      const { status, said } = verify(...args)
      assert.equal(status, 0, said)
    }
    const { status, said } = verify(...device, path('lost.crt'))
    assert.notEqual(status, 0)
    assert.match(said, /error 23 .*certificate revoked/u)
    const crl = spawnSync('openssl', ['crl', '-in', path('device-crl.pem'), '-noout', '-text'], {
      encoding: 'utf8',
    }).stdout
    assert.match(crl, /CRL Number: \n\s+2\n/u)
    assert.match(crl, /Key Compromise/u)
  })
}
