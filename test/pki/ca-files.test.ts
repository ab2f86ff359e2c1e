import assert from 'node:assert/strict'
import { mkdirSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { readCaFiles } from '../../pki/ca-files.ts'
import { CertificateRejected } from '../../pki/errors.ts'
import { TrustSet } from '../../pki/trust.ts'
import { issueServer, makeCa, makeCrl } from '../helpers/certificates.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const serverCa = makeCa('Server CA')
const deviceCa = makeCa('Device CA')
const plantCa = makeCa('Plant CA')
const leaf = issueServer(serverCa)

type Files = Readonly<Record<string, string>>

async function folderOf(t: TestContext, files: Files) {
  const scratch = await scratchDirectory(t)
  const capath = join(scratch, 'cas')
  mkdirSync(capath)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(capath, name), text)
  return { scratch, capath }
}

async function namesIn(t: TestContext, files: Files, cafile?: string) {
  const { scratch, capath } = await folderOf(t, files)
  const path = join(scratch, 'bundle.crt')
  if (cafile !== undefined) writeFileSync(path, cafile)
  const bundle = await readCaFiles({ cafile: cafile === undefined ? undefined : path, capath })
  assert.ok(bundle)
  const names = new TrustSet(bundle).authorities.map(({ name }) => name)
  return { names, warnings: bundle.warnings.map((text) => text.replaceAll(`${capath}/`, '')) }
}

const TAKEN: readonly (readonly [
  what: string,
  files: Files,
  cafile: string | undefined,
  names: readonly string[],
  warnings: readonly string[],
])[] = [
  [
    'every .pem and .crt of a folder without hashed names',
    {
      'a.crt': deviceCa.certificatePem,
      'b.PEM': plantCa.certificatePem + serverCa.certificatePem,
      'notes.txt': 'these are the CAs',
    },
    undefined,
    ['Device CA', 'Plant CA', 'Server CA'],
    [],
  ],
  [
    'hashed names alone, once there is one',
    {
      '1a2b3c4d.0': deviceCa.certificatePem,
      '1a2b3c4d.1': plantCa.certificatePem,
      'server-ca.pem': serverCa.certificatePem,
    },
    undefined,
    ['Device CA', 'Plant CA'],
    ['server-ca.pem: has no hashed name and is not used'],
  ],
  [
    'cafile and capath together, each CA once',
    { 'a.crt': deviceCa.certificatePem, 'b.crt': plantCa.certificatePem },
    plantCa.certificatePem,
    ['Plant CA', 'Device CA'],
    [],
  ],
  ['a cafile beside an empty folder', {}, deviceCa.certificatePem, ['Device CA'], []],
  [
    'no keys, and no lists of revoked certificates',
    {
      'ca.pem': deviceCa.certificatePem,
      'crl.pem': makeCrl(deviceCa),
      'key.pem': leaf.privateKeyPem,
      '1a2b3c4d.r0': makeCrl(deviceCa),
    },
    undefined,
    ['Device CA'],
    [
      '1a2b3c4d.r0: CRLs of a capath are not read, see crlfile',
      'crl.pem: holds no certificate and is not used',
      'key.pem: holds no certificate and is not used',
    ],
  ],
]

for (const [what, files, cafile, names, warnings] of TAKEN) {
  test(`takes ${what}`, async (t) => {
    assert.deepEqual(await namesIn(t, files, cafile), { names, warnings })
  })
}

test('a file that a hashed name links to is no other file', async (t) => {
  const { capath } = await folderOf(t, { 'device-ca.pem': deviceCa.certificatePem })
  symlinkSync('device-ca.pem', join(capath, '1a2b3c4d.0'))
  const bundle = await readCaFiles({ cafile: undefined, capath })
  assert.deepEqual(bundle?.warnings, [])
})

test('where ca.crt and device-ca.crt lie in the folder, the first is no CA of devices', async (t) => {
  const { capath } = await folderOf(t, {
    'ca.crt': serverCa.certificatePem,
    'device-ca.crt': deviceCa.certificatePem,
    'old-device-ca.crt': plantCa.certificatePem,
  })
  const { deviceCa: devices } = (await readCaFiles({ cafile: undefined, capath })) ?? {}
  assert.ok(devices)
  const names = new TrustSet({ ca: devices, origin: 'x' }).authorities.map(({ name }) => name)
  assert.deepEqual(names, ['Device CA', 'Plant CA'])
})

const half = deviceCa.certificatePem.slice(0, 300)

const REFUSED: readonly (readonly [string, Files, string | undefined, string, RegExp])[] = [
  [
    'half a certificate',
    { 'a.crt': plantCa.certificatePem, 'b.crt': half },
    undefined,
    'certificate_malformed',
    /b\.crt: expected complete PEM certificates: .* has no END$/u,
  ],
  [
    'an empty file, which is one cut short',
    { 'a.crt': plantCa.certificatePem, 'b.crt': '' },
    undefined,
    'certificate_malformed',
    /b\.crt: expected a PEM certificate, found none in 0 bytes$/u,
  ],
  [
    'DER',
    { '1a2b3c4d.0': deviceCa.der.toString('latin1') },
    undefined,
    'certificate_malformed',
    /1a2b3c4d\.0: expected a PEM certificate/u,
  ],
  [
    'an empty cafile beside a good folder',
    { 'a.crt': plantCa.certificatePem },
    '',
    'certificate_malformed',
    /bundle\.crt: expected a PEM certificate/u,
  ],
]

for (const [what, files, cafile, code, message] of REFUSED) {
  test(`refuses ${what}`, async (t) => {
    await assert.rejects(namesIn(t, files, cafile), (err) => {
      assert.ok(err instanceof CertificateRejected)
      assert.equal(err.code, code)
      assert.match(err.message, message)
      return true
    })
  })
}

test('a folder without a single CA is refused, and so is none, or one whose link leads nowhere', async (t) => {
  const { scratch, capath } = await folderOf(t, { 'leaf.crt': leaf.certificatePem })
  const bundle = await readCaFiles({ cafile: undefined, capath })
  assert.ok(bundle)
  assert.throws(() => new TrustSet(bundle), { code: 'certificate_ca_missing' })
  unlinkSync(join(capath, 'leaf.crt'))
  symlinkSync(join(scratch, 'gone'), join(capath, '1a2b3c4d.0'))
  await assert.rejects(readCaFiles({ cafile: undefined, capath }), /expected a readable file/u)
  rmSync(capath, { recursive: true })
  await assert.rejects(readCaFiles({ cafile: undefined, capath }), /expected a readable folder/u)
})
